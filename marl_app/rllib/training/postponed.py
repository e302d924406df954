"""What a full disk makes wait. Training goes on, and what could not be written is written when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marl_app.rllib.training.algorithm import MatchAlgorithm


@contextmanager
def postponed(algorithm: MatchAlgorithm, what: str) -> Iterator[None]:
    """An OSError ends the block, and nothing else: whoever calls tries again later.

    It is counted in `health/failures`. A message says when `what` begins to wait, and when it no longer does.
    """
    try:
        yield
    except OSError as error:
        algorithm.counters.failures += 1
        if what not in algorithm.waiting:
            algorithm.waiting.add(what)
            algorithm.fire("on_message", text=f"{what} has to wait: {error}")
    else:
        if what in algorithm.waiting:
            algorithm.waiting.remove(what)
            algorithm.fire("on_message", text=f"{what}: works again")

"""A full disk: training goes on, and what could not be written is written when the disk has room again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from marl_app.runs.state import Counters


class DiskErrors:
    """Counts failed writes, and says when something begins to wait for the disk and when it is written again."""

    def __init__(self, counters: Counters, message: Callable[[str], None]) -> None:
        self.counters = counters
        self._message = message
        self._waiting: set[str] = set()

    @contextmanager
    def postpone(self, what: str) -> Iterator[None]:
        """Swallow an OSError of the block, in which `what` is written: the caller tries again later."""
        try:
            yield
        except OSError as error:
            self.counters.failures += 1
            # One message when it begins to fail and one when it works again, not one per attempt.
            if what not in self._waiting:
                self._waiting.add(what)
                self._message(f"{what} has to wait: {error}")
        else:
            if what in self._waiting:
                self._waiting.remove(what)
                self._message(f"{what}: works again")

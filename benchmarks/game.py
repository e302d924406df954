"""What a game brings to the benchmark: who is measured on it, and which ratios are of interest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

ENV, TRAINED = "env_steps_per_s", "trained_agent_steps_per_s"


class LineupEntry(NamedTuple):
    """A contestant: what it is called, how it is made (`ours`, `stock` or `bare`), and if it is the app, by which
    overrides, and whether it begins with a pool of snapshots."""

    label: str
    kind: str = "ours"
    overrides: tuple[str, ...] = ()
    pool: bool = False


class Ratio(NamedTuple):
    """One contestant's figure over another's, and what it should at least be when training."""

    above: str
    below: str
    figure: str
    target: float | None = None


IN_PROCESS = ("runtime.num_env_runners=0", "runtime.pipeline=false")
"""The overrides that leave the app one process."""


@dataclass(frozen=True)
class Game:
    """overrides: of the app, for every contestant. deciders: agents that act in an env step.

    A batch is `rows` env steps of `matches` matches; not the stock contestant's, which has its own.
    """

    name: str
    overrides: tuple[str, ...]
    deciders: int
    matches: int
    rows: int
    lineup: Mapping[str, LineupEntry]
    ratios: tuple[Ratio, ...]

"""A game of the benchmark: its settings, the contestants measured on it, and the reported ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

ENV, TRAINED = "env_steps_per_s", "trained_agent_steps_per_s"


class LineupEntry(NamedTuple):
    """A contestant of a game.

    label: its name in tables. kind: `ours` (the app), `stock` (RLlib's PPO) or `bare` (the bare loop).
    overrides, pool: only for the app; overrides of its configuration, and whether it begins with a pool of snapshots.
    """

    label: str
    kind: str = "ours"
    overrides: tuple[str, ...] = ()
    pool: bool = False


class Ratio(NamedTuple):
    """A reported ratio: `figure` of the contestant `above` / that of `below`; `target`: its minimum when training."""

    above: str
    below: str
    figure: str
    target: float | None = None


IN_PROCESS = ("runtime.num_env_runners=0", "runtime.pipeline=false")
"""The overrides with which the app runs in a single process."""


@dataclass(frozen=True)
class Game:
    """A game and its line-up.

    overrides: of the app's configuration, for every contestant. deciders: agents that act in an env step.
    A batch has `rows` env steps of `matches` matches; only `stock` has another batch size (`Sampling`).
    """

    name: str
    overrides: tuple[str, ...]
    deciders: int
    matches: int
    rows: int
    lineup: Mapping[str, LineupEntry]
    ratios: tuple[Ratio, ...]

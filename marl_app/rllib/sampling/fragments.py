"""Messages between the algorithm and its env runners: a request for experience, and the answer.

A request carries all that an env runner needs to play, so an env runner that has just been restarted can answer it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from ray import ObjectRef

from marl_app.league.assignment import Assignment, Opponent
from marl_app.league.outcomes import Outcomes
from marl_app.moments import Moments
from marl_app.store.traffic import Traffic

Weights = Mapping[str, NDArray[Any]]
"""The state of a player's networks by `network/name`: parameters, and buffers such as running statistics."""


@dataclass(frozen=True)
class Request:
    """A request to collect one fragment for a learner.

    weights: of the learner, by value or in Ray's object store; None = those of the process that plays, which is a
        learner itself. `weights_version` counts its updates.
    exploration: entries that replace those of the learner's weights while it explores, such as epsilon.
    seed: of all random numbers of the fragment.
    assignment: the opponents, and the share of matches of each.
    reward_scale: factor applied to rewards before training.
    learner_opponents: current weights, by id, of opponents that are learners too; None as for `weights`.
    prefetch_digests: snapshots that the next request will probably name.
    runner: number of the env runner.
    """

    learner: str
    weights: Weights | ObjectRef | None
    weights_version: int
    seed: int
    assignment: Assignment
    reward_scale: float = 1.0
    exploration: Weights = field(default_factory=dict)
    learner_opponents: Mapping[str, Weights | ObjectRef | None] = field(default_factory=dict)
    prefetch_digests: tuple[str, ...] = ()
    runner: int = 0


@dataclass(frozen=True)
class Fragment:
    """The answer to a request: experience, results and timings.

    batches: training columns, {network name: {column: [rows, ...]}}, or a reference to them in Ray's object store;
        empty if the learner that played them keeps them. Advantages are not standardized.
    rows: trained agent steps in `batches`.
    reasons: the opponent, and why it was chosen, of each row of `outcomes`.
    returns: sum over `matches` ended matches of the mean return of the trainee's agents.
    match_steps: env steps of the ended matches.
    reward_moments: of the discounted returns so far, at every step, if rewards are normalized.
    seconds: wall-clock time of the fragment, of which `forward_seconds` in networks and `env_seconds` in environments.
    traffic: bytes moved to load opponents. slot_bytes: of the loaded weights; private_bytes: memory of the process.
    runner, rack, node: number, rack and Ray's node of the env runner. resident_digests: of the snapshots in its slots.
    """

    learner: str
    weights_version: int
    batches: dict[str, dict[str, NDArray[Any]]] | ObjectRef
    rows: int
    env_steps: int
    outcomes: Outcomes
    reasons: tuple[Opponent, ...]
    matches: int
    match_steps: int
    returns: float
    reward_moments: Moments
    seconds: float
    forward_seconds: float
    env_seconds: float
    traffic: Traffic = field(default_factory=Traffic)
    slot_bytes: int = 0
    private_bytes: int = 0
    runner: int = 0
    rack: str = ""
    node: str = ""
    resident_digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """The answer of an env runner that raised an exception: its traceback, as text."""

    traceback: str


def by_learner(fragments: Iterable[Fragment]) -> dict[str, list[Fragment]]:
    """Return the fragments of each learner."""
    grouped: dict[str, list[Fragment]] = {}
    for fragment in fragments:
        grouped.setdefault(fragment.learner, []).append(fragment)
    return grouped

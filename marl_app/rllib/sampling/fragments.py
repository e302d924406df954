"""What the algorithm and its env runners say to each other: a request for experience, and the answer.

A request carries all that an env runner needs to play: a runner that has just been restarted is as good as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from ray import ObjectRef

from marl_app.league.assignment import Assignment, Opponent
from marl_app.league.outcomes import Outcomes
from marl_app.moments import Moments
from marl_app.store.traffic import Traffic

Weights = Mapping[str, NDArray[Any]]
"""All weights of a player's networks, under `network/parameter`."""


@dataclass(frozen=True)
class Request:
    """Collect one fragment for a learner.

    weights: the learner's, by value or in Ray's object store; `weights_version` counts its updates.
    seed: of everything random in the fragment.
    assignment: the opponents, and their shares of the matches.
    reward_scale: factor of rewards before they are trained on.
    learner_opponents: current weights, by id, of opponents that are learners too.
    prefetch_digests: snapshots that the next request will probably name.
    runner: number of the env runner.
    """

    learner: str
    weights: Weights | ObjectRef
    weights_version: int
    seed: int
    assignment: Assignment
    reward_scale: float = 1.0
    learner_opponents: Mapping[str, Weights | ObjectRef] = field(default_factory=dict)
    prefetch_digests: tuple[str, ...] = ()
    runner: int = 0


@dataclass(frozen=True)
class Fragment:
    """The answer: experience, results and where the time went.

    batches: training columns of each network's rows, by network name. Advantages are not standardized.
    rows: trained agent steps in them.
    reasons: the opponent, and why it was chosen, of each row of `outcomes`.
    returns: sum over `matches` ended matches of the mean return of the trainee's agents.
    match_steps: env steps of these matches.
    reward_moments: of the discounted returns so far, at every step, if rewards are normalized.
    seconds: wall-clock of the whole fragment; `forward_seconds` and `env_seconds` of it went into networks and games.
    traffic: what loading opponents moved. slot_bytes: of the opponents held; private_bytes: of the process's memory.
    runner, rack: number and place of the env runner. resident_digests: of the snapshots in its slots.
    """

    learner: str
    weights_version: int
    batches: dict[str, dict[str, NDArray[Any]]]
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
    resident_digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """The answer of an env runner on which something raised: the traceback, as text."""

    traceback: str

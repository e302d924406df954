"""Requests to env runners: all that one needs to play its next fragment."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from marl_app.rllib.sampling.fragments import Request, Weights
from marl_app.rllib.training.assignments import RunnerAssignment
from marl_app.rllib.training.dispatch import EventDispatcher
from marl_app.rllib.training.turns import Turns
from marl_app.rllib.training.weights import LearnerWeights
from marl_app.runs.state import LearnerTotals


class RequestingRun(Protocol):
    """What a request needs of the run."""

    turns: Turns
    events: EventDispatcher
    weights: LearnerWeights
    totals: dict[str, LearnerTotals]
    rng: np.random.Generator

    def exploration(self) -> Weights: ...


def make_request(run: RequestingRun, runner: int) -> Request:
    """Return the next request for env runner `runner`, for the learner whose turn it is."""
    learner = run.turns.current
    assigned: RunnerAssignment
    # One callback names opponents (`assembly/training.py` checks it); the others answer None.
    [assigned] = filter(None, run.events.answers("on_sample_request", learner=learner, runner=runner))
    # Opponents that are learners have no snapshot: their current weights come with the request.
    opponents = {opponent.player for opponent in assigned.assignment.opponents} - {learner}
    trainee = run.totals[learner]
    return Request(
        learner=learner,
        weights=run.weights.broadcasted(learner),
        weights_version=trainee.updates,
        seed=int(run.rng.integers(2**63)),
        assignment=assigned.assignment,
        reward_scale=trainee.reward_moments.scale,
        exploration=run.exploration(),
        learner_opponents={name: run.weights.broadcasted(name) for name in sorted(opponents & run.totals.keys())},
        prefetch_digests=assigned.prefetch_digests,
        runner=runner,
    )

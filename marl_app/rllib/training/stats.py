"""What the last iteration did, summed over its fragments. Totals of the run: `runs/state.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from marl_app.config.schema import StopConfig
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.assignments import AssignmentTotals
from marl_app.runs.state import Counters
from marl_app.store.traffic import Traffic


@dataclass
class IterationStats:
    """What the last iteration did.

    `seconds`: since the end of the iteration before; `wait_seconds`: the part spent waiting for experience.
    `matches` that ended; `results`: counted in the payoff, one per match and opposing
    side (none of matches that ended in a random opening).
    `self_play`: results of the trainee against itself, and the sum of the first side's scores in them.
    `learners`: who trained; one learner, unless an env runner delivered a fragment of the turn before.
    `sample_seconds` and `traffic` of all env runners; `slot_bytes` and `private_bytes` of the largest.
    `assigned`: assignments made since the last iteration.
    """

    env_steps: int = 0
    rows: int = 0
    matches: int = 0
    match_length: float = 0.0
    results: int = 0
    returns: float = 0.0
    wait_seconds: float = 0.0
    learn_seconds: float = 0.0
    seconds: float = 0.0
    staleness: float = 0.0
    self_play: tuple[int, float] = (0, 0.0)
    learners: tuple[str, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)
    slot_bytes: int = 0
    private_bytes: int = 0
    sample_seconds: float = 0.0
    assigned: AssignmentTotals = field(default_factory=AssignmentTotals)

    @classmethod
    def from_fragments(cls, fragments: Sequence[Fragment], updates: Mapping[str, int]) -> IterationStats:
        """Return the statistics of fragments that are trained on after `updates` updates of each learner."""
        matches = sum(fragment.matches for fragment in fragments)
        own = [  # (outcomes, bool [rows of outcomes]: which are of the trainee against itself)
            (fragment.outcomes, np.array([o == fragment.learner for o in fragment.outcomes.opponents], np.bool_))
            for fragment in fragments
        ]
        return cls(
            env_steps=sum(fragment.env_steps for fragment in fragments),
            rows=sum(fragment.rows for fragment in fragments),
            matches=matches,
            match_length=sum(fragment.match_steps for fragment in fragments) / max(1, matches),
            results=sum(fragment.outcomes.results for fragment in fragments),
            returns=sum(fragment.returns for fragment in fragments),
            # Updates of the learner since the weights were sent with which a fragment was played.
            staleness=float(np.mean([updates[fragment.learner] - fragment.weights_version for fragment in fragments])),
            self_play=(
                sum(int((o.wins + o.draws + o.losses)[mine].sum()) for o, mine in own),
                sum(float(o.scores[mine].sum()) for o, mine in own),
            ),
            learners=tuple({fragment.learner: None for fragment in fragments}),
            traffic=Traffic.sum(fragment.traffic for fragment in fragments),
            slot_bytes=max(fragment.slot_bytes for fragment in fragments),
            private_bytes=max(fragment.private_bytes for fragment in fragments),
            sample_seconds=sum(fragment.seconds for fragment in fragments),
        )


def share_done(stop: StopConfig, counters: Counters, iteration: int) -> float | None:
    """Return the share of a run that is over, in [0, 1], by the limit that is nearest; None if it has no limit."""
    limits = (
        (stop.env_steps, counters.env_steps),
        (stop.minutes, counters.seconds / 60),
        (stop.iterations, iteration),
    )
    # The run ends at the limit that is reached first, so the largest share counts.
    shares = [reached / limit for limit, reached in limits if limit is not None]
    return min(1.0, max(shares)) if shares else None

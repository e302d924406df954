"""What a run has done, in total and in its last iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.sampling.moments import Moments
from marl_app.rllib.training.assignments import Dealt
from marl_app.store.traffic import Traffic


@dataclass
class Counters:
    """Totals of a run, kept across a resume."""

    env_steps: int = 0
    trained_agent_steps: int = 0
    updates: int = 0
    matches: int = 0
    seconds: float = 0.0
    restarts: int = 0
    failures: int = 0


@dataclass
class Trainee:
    """Totals of one learner, kept across a resume.

    `agent_steps` are its own actions that it has trained on; `initial` is the digest of the weights that it began with,
    stored where it may be reset.
    """

    env_steps: int = 0
    agent_steps: int = 0
    updates: int = 0
    initial: str = ""
    reward_moments: Moments = field(default_factory=Moments)

    def count(self, fragment: Fragment) -> None:
        """Take a fragment into account."""
        self.env_steps += fragment.env_steps
        self.agent_steps += fragment.rows
        self.reward_moments.merge(fragment.reward_moments)

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Trainee:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**state, "reward_moments": Moments(**state["reward_moments"])})


@dataclass
class IterationStats:
    """What the last iteration did.

    `seconds`: since the end of the iteration before; `wait_seconds` of it, idle until enough experience had arrived.
    `matches` ended, `recorded` of them counted for somebody (not those that ended in a random opening).
    `self_play`: matches of the trainee against itself, and the sum of the first side's scores in them.
    `learners`: who has trained; one, but for what an env runner brought late.
    `sample_seconds` and `traffic` of all env runners; `slot_bytes` and `private_bytes` of the one with the most.
    `dealt`: assignments made since the last iteration.
    """

    env_steps: int = 0
    rows: int = 0
    matches: int = 0
    match_length: float = 0.0
    recorded: int = 0
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
    dealt: Dealt = field(default_factory=Dealt)

    @classmethod
    def of(cls, fragments: Sequence[Fragment], updates: Mapping[str, int]) -> IterationStats:
        """The statistics of fragments that are learned from after so many updates of each learner."""
        matches = sum(fragment.matches for fragment in fragments)
        own = [
            (fragment.outcomes, np.array([o == fragment.learner for o in fragment.outcomes.opponents], np.bool_))
            for fragment in fragments
        ]
        return cls(
            env_steps=sum(fragment.env_steps for fragment in fragments),
            rows=sum(fragment.rows for fragment in fragments),
            matches=matches,
            match_length=sum(fragment.match_steps for fragment in fragments) / max(1, matches),
            recorded=sum(fragment.outcomes.matches for fragment in fragments),
            returns=sum(fragment.returns for fragment in fragments),
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

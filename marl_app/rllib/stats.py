"""What a run has done, in total and in its last iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from marl_app.rllib.fragments import Fragment
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
class IterationStats:
    """What the last iteration did.

    `seconds`: since the end of the iteration before; `wait_seconds` of it, idle until enough experience had arrived.
    `matches` ended, `recorded` of them counted for somebody (not those that ended in a random opening).
    `self_play`: matches of the trainee against itself, and the sum of the first side's scores in them.
    `traffic` of all env runners; `slot_bytes` and `private_bytes` of the one with the most.
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
    traffic: Traffic = field(default_factory=Traffic)
    slot_bytes: int = 0
    private_bytes: int = 0

    @classmethod
    def of(cls, fragments: Sequence[Fragment], updates: int) -> IterationStats:
        """The statistics of fragments that are learned from after `updates` updates of the learner."""
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
            staleness=float(np.mean([updates - fragment.weights_version for fragment in fragments])),
            self_play=(
                sum(int((o.wins + o.draws + o.losses)[mine].sum()) for o, mine in own),
                sum(float((o.wins + o.draws / 2)[mine].sum()) for o, mine in own),
            ),
            traffic=Traffic.sum(fragment.traffic for fragment in fragments),
            slot_bytes=max(fragment.slot_bytes for fragment in fragments),
            private_bytes=max(fragment.private_bytes for fragment in fragments),
        )

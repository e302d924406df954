"""Turns of learners: several learners share the env runners, and train in turns of some iterations.

Stride scheduling (Waldspurger and Weihl, 1995): the learner with the fewest env steps per share is next, so that in the
long run each learner gets exactly its share, for any sizes of batches and whenever it was added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from marl_app.runs.state import TurnState


@dataclass
class Turns:
    """The order in which learners train.

    shares: learner -> its share (> 0) of the env steps. length: iterations of a turn.
    current: the learner whose turn it is. passed: learner -> env steps / share. left: iterations left of the turn.
    """

    shares: Mapping[str, float]
    length: int
    passed: dict[str, float] = field(default_factory=dict)
    current: str = ""
    left: int = 0

    def __post_init__(self) -> None:
        """Start new learners at the lowest value of the others: they do not catch up on the past."""
        least = min((self.passed[name] for name in self.shares if name in self.passed), default=0.0)
        self.passed = {name: self.passed.get(name, least) for name in self.shares}
        if self.current not in self.shares or not self.left:
            self._next()

    def advance(self, learner: str, env_steps: int) -> None:
        """Count env steps that were collected for a learner."""
        self.passed[learner] += env_steps / self.shares[learner]

    def end_iteration(self) -> None:
        """Count an iteration; after the last one of a turn the next turn begins."""
        self.left -= 1
        if not self.left:
            self._next()

    def _next(self) -> None:
        # Of equal learners the first in the configuration.
        self.current, self.left = min(self.passed, key=lambda name: self.passed[name]), self.length

    def state(self) -> TurnState:
        """Return what a checkpoint keeps."""
        return TurnState(dict(self.passed), self.current, self.left)

    @classmethod
    def from_state(cls, shares: Mapping[str, float], length: int, state: TurnState) -> Turns:
        """Return turns that go on from this state, with the shares and length of the configuration."""
        return cls(shares, length, dict(state.passed), state.current, state.left)

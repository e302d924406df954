"""Whose turn it is to train: several learners share the env runners in turns of some iterations.

Stride scheduling (Waldspurger and Weihl, 1995): who has the least env steps per share goes next, so that in the long
run each learner gets its share exactly, whatever its batches and whenever it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from marl_app.runs.state import TurnState


@dataclass
class Turns:
    """`shares`, > 0, of env steps by learner; a turn is `length` iterations.

    current: whose turn it is. passed: env steps per share, by learner. left: iterations of the turn.
    """

    shares: Mapping[str, float]
    length: int
    passed: dict[str, float] = field(default_factory=dict)
    current: str = ""
    left: int = 0

    def __post_init__(self) -> None:
        """Learners that are new begin level with those that have the least."""
        least = min((self.passed[name] for name in self.shares if name in self.passed), default=0.0)
        self.passed = {name: self.passed.get(name, least) for name in self.shares}
        if self.current not in self.shares or not self.left:
            self._next()

    def advance(self, learner: str, env_steps: int) -> None:
        """An iteration of the current turn has collected so many env steps, for this learner."""
        self.passed[learner] += env_steps / self.shares[learner]

    def end_iteration(self) -> None:
        """One iteration less; at the end of a turn it is another's."""
        self.left -= 1
        if not self.left:
            self._next()

    def _next(self) -> None:
        self.current, self.left = min(self.passed, key=lambda name: self.passed[name]), self.length

    def state(self) -> TurnState:
        """Return what a checkpoint keeps."""
        return TurnState(dict(self.passed), self.current, self.left)

    @classmethod
    def from_state(cls, shares: Mapping[str, float], length: int, state: TurnState) -> Turns:
        """Return turns that go on from this state, with the shares and length of the configuration."""
        return cls(shares, length, dict(state.passed), state.current, state.left)

"""When a learner is frozen into the pool.

AlphaStar (Vinyals et al., 2019) freezes a learner 2e9 steps after its last freeze if it beats every opponent of the
pool in at least 70% of games, and after 4e9 steps anyway. `WinRate` is that rule made to work with few games:
- It looks at one score against the pool as it was met, not at the lowest of many: a minimum over a growing pool is
  dominated by the opponent with the fewest games. A matchmaker that seeks hard opponents (PFSP) makes it strict.
- The score must clear the threshold with confidence (lower end of Wilson's interval) after a minimum of games.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from marl_app.league.payoff import wilson
from marl_app.league.view import LeagueView


@dataclass(frozen=True)
class Progress:
    """How far a run is: agent steps that a learner has trained on, and iterations, both since the run began."""

    agent_steps: int
    iteration: int


class Schedule(Protocol):
    """A rule that says when a learner is frozen."""

    def due(self, view: LeagueView, learner: str, progress: Progress) -> str | None:
        """Why the learner should be frozen now, as a sentence for humans; None if it should not."""
        ...


class EverySteps:
    """Freeze every so many agent steps."""

    def __init__(self, agent_steps: int) -> None:
        if agent_steps <= 0:
            raise ValueError(f"agent_steps must be > 0, not {agent_steps}")
        self.agent_steps = agent_steps

    def due(self, view: LeagueView, learner: str, progress: Progress) -> str | None:
        steps = progress.agent_steps - view.last_freeze(learner)
        return f"{steps:,} agent steps since the last freeze" if steps >= self.agent_steps else None


class WinRate:
    """Freeze a learner that has learned to beat the pool, or has tried for long enough.

    All counts are since the last freeze. Due when at least `agent_steps` were trained, at least `min_games` were
    played against the pool, and the lower end of the score's Wilson interval exceeds `threshold`; or, whatever the
    score, after `timeout_factor` times as many steps (None: never). AlphaStar's is 2.
    """

    def __init__(
        self,
        threshold: float,
        min_games: int,
        agent_steps: int,
        timeout_factor: float | None = None,
        confidence: float = 0.95,
    ) -> None:
        if not 0 < threshold < 1 or not 0 < confidence < 1:
            raise ValueError(f"threshold and confidence must be in (0, 1), not {threshold} and {confidence}")
        if agent_steps <= 0 or (timeout_factor is not None and timeout_factor < 1):
            raise ValueError(
                f"agent_steps must be > 0 and timeout_factor >= 1 or null, not {agent_steps} and {timeout_factor}"
            )
        self.threshold = threshold
        self.min_games = min_games
        self.agent_steps = agent_steps
        self.timeout_factor = timeout_factor
        self.confidence = confidence

    def due(self, view: LeagueView, learner: str, progress: Progress) -> str | None:
        steps = progress.agent_steps - view.last_freeze(learner)
        tally = view.tallies[learner]
        if steps >= self.agent_steps and tally.games >= self.min_games:
            low, high = wilson(tally.score, tally.games, self.confidence)
            if low > self.threshold:
                return f"win rate {tally.score:.2f} [{low:.2f}, {high:.2f}] over {tally.games:,} games"
        if self.timeout_factor is not None and steps >= self.timeout_factor * self.agent_steps:
            return f"timeout: {steps:,} agent steps since the last freeze"
        return None

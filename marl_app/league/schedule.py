"""Schedules: when a learner is frozen into the pool.

AlphaStar (Vinyals et al., 2019) freezes a learner 2e9 steps after its last freeze if it beats every opponent that its
role names in at least 70% of games, and after 4e9 steps anyway. `AlphaStarSchedule` and `WinRate` apply that rule with
few games: after a minimum of games, the lower end of Wilson's interval of a win rate must exceed the threshold. They
differ in which win rate that is:
- `AlphaStarSchedule`: the win rate against each opponent. An opponent with few games delays the freeze.
- `WinRate`: one win rate over all games with the pool. A matchmaker that seeks hard opponents (PFSP) makes it strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import wilson
from marl_app.league.players import MAIN_EXPLOITER
from marl_app.league.view import LeagueView


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run is since it began: agent steps that learners have trained on, and iterations.

    `agent_steps` goes by learner id; a single number stands for every learner.
    """

    agent_steps: int | Mapping[str, int]
    iteration: int

    def steps(self, learner: str) -> int:
        """Agent steps that this learner has trained on."""
        return self.agent_steps if isinstance(self.agent_steps, int) else self.agent_steps[learner]


class Schedule(Protocol):
    """A rule that says when a learner is frozen."""

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        """Why the learner should be frozen now, as a sentence for humans; None if it should not."""
        ...


@runtime_checkable
class StatefulSchedule(Schedule, Protocol):
    """A schedule that remembers what it saw when it was asked; saved with the league."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, as JSON types."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        ...


class EverySteps:
    """Freeze every so many agent steps."""

    def __init__(self, agent_steps: int) -> None:
        if agent_steps <= 0:
            raise ValueError(f"agent_steps must be > 0, not {agent_steps}")
        self.agent_steps = agent_steps

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        steps = progress.steps(learner) - view.last_freeze(learner)
        return f"{steps:,} agent steps since the last freeze" if steps >= self.agent_steps else None


class WinRate:
    """Freeze a learner that has learned to beat the pool, or has tried for long enough.

    All counts are since the last freeze. Due when at least `agent_steps` were trained, at least `min_games` were
    played against the pool, and the lower end of the win rate's Wilson interval exceeds `threshold`; or, whatever
    the win rate, after `timeout_factor` times as many steps (None: never). AlphaStar's is 2.
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

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        steps = progress.steps(learner) - view.last_freeze(learner)
        if steps >= self.agent_steps and (reason := self.reason_to_freeze(view, learner)):
            return reason
        if self.timeout_factor is not None and steps >= self.timeout_factor * self.agent_steps:
            return f"timeout: {steps:,} agent steps since the last freeze"
        return None

    def reason_to_freeze(self, view: LeagueView, learner: str) -> str | None:
        """How well the learner beats the pool, if it does so surely."""
        tally = view.tallies[learner]
        low, high = wilson(tally.win_rate, tally.games, self.confidence)
        if tally.games < self.min_games or low <= self.threshold:
            return None
        return f"win rate {tally.win_rate:.2f} [{low:.2f}, {high:.2f}] over {tally.games:,} games"


class Plateau:
    """Freeze a learner that has become a best response to the meta-strategy, as far as it can be told.

    That is when its mean score against the pool's `strategy` has not risen by `min_gain` for `patience` agent steps,
    but not before `agent_steps` since its last freeze; and after `budget` of them anyway. PSRO (Lanctot et al., 2017)
    trains each response for a fixed budget. What it remembers is saved with the league.
    """

    def __init__(self, strategy: MetaStrategy, agent_steps: int, patience: int, min_gain: float, budget: int) -> None:
        if agent_steps <= 0 or patience <= 0 or min_gain < 0 or budget < agent_steps:
            raise ValueError(
                "agent_steps and patience must be > 0, min_gain >= 0 and budget >= agent_steps, not "
                f"{agent_steps}, {patience}, {min_gain} and {budget}"
            )
        self.strategy = strategy
        self.agent_steps = agent_steps
        self.patience = patience
        self.min_gain = min_gain
        self.budget = budget
        self._best: dict[str, tuple[int, float, int]] = {}  # learner: its last freeze, best score since, and when

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        now, frozen = progress.steps(learner), view.last_freeze(learner)
        pool = [snapshot.player.id for snapshot in view.facing(learner)]
        mixture = view.mixture_facing(learner, self.strategy)
        score = float(mixture @ view.payoff.scores(learner, pool)) if pool else 0.5
        known = self._best.get(learner)
        if known is None or known[0] != frozen or score > known[1] + self.min_gain:
            known = self._best[learner] = (frozen, score, now)
        if now - frozen >= self.budget:
            return f"budget: {now - frozen:,} agent steps since the last freeze"
        if now - frozen >= self.agent_steps and now - known[2] >= self.patience:
            return f"plateau: {score:.2f} against the meta-strategy, no better for {now - known[2]:,} agent steps"
        return None

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, as JSON types."""
        return {learner: list(best) for learner, best in self._best.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._best = {learner: (frozen, score, at) for learner, (frozen, score, at) in state.items()}


class AlphaStarSchedule(WinRate):
    """As `WinRate`, but each opponent counts: all main agents for a main exploiter, the whole pool for the others.

    `min_games` and the intervals are of the effective games of the payoff, which also remembers games from before the
    last freeze. Keep `min_games` small: PFSP stops meeting whom a learner always beats.
    """

    def reason_to_freeze(self, view: LeagueView, learner: str) -> str | None:
        """How well the learner beats its hardest opponent, if it does so surely with all of them."""
        if view.role(learner) == MAIN_EXPLOITER:
            opponents = view.main_agents_facing(learner)
        else:
            opponents = tuple(snapshot.player.id for snapshot in view.facing(learner))
        if not opponents:
            return None
        games, lows = view.payoff.games(learner, opponents), view.payoff.intervals(learner, opponents, self.confidence)
        hardest = int(lows[:, 0].argmin())
        low, high = lows[hardest]
        if games.min() < self.min_games or low <= self.threshold:
            return None
        rate = view.payoff.win_rates(learner, opponents)[hardest]
        return f"win rate {rate:.2f} [{low:.2f}, {high:.2f}] or more against each of {len(opponents)}"

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
from marl_app.league.pace import Paced
from marl_app.league.payoff import wilson
from marl_app.league.players import MAIN_EXPLOITER
from marl_app.league.view import LeagueView


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a run since its beginning: agent steps that learners have trained on, and iterations.

    `agent_steps` maps learner ids to numbers; a single number stands for every learner. `run_share` is the share of the
    run that is over, in [0, 1], by its nearest limit; None without limits.
    """

    agent_steps: int | Mapping[str, int]
    iteration: int
    run_share: float | None = None

    @property
    def all_steps(self) -> int:
        """The agent steps of all learners together."""
        return self.agent_steps if isinstance(self.agent_steps, int) else sum(self.agent_steps.values())

    def steps(self, learner: str) -> int:
        """Return the agent steps that this learner has trained on. Raises KeyError for a learner without a number."""
        return self.agent_steps if isinstance(self.agent_steps, int) else self.agent_steps[learner]


class Schedule(Protocol):
    """A rule that decides when a learner is frozen."""

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        """Return the reason to freeze the learner now, as words for humans; None if it is not due.

        Raises KeyError for an unknown learner.
        """
        ...


@runtime_checkable
class StatefulSchedule(Schedule, Protocol):
    """A schedule that remembers earlier calls of `due`; its state is saved with the league."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON types."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        ...


class EverySteps(Paced):
    """Freeze a learner at each interval of agent steps, see `Paced`."""

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        steps = progress.steps(learner) - view.last_freeze(learner)
        return (
            f"{steps:,} agent steps since the last freeze"
            if steps >= self.interval(progress.all_steps, progress.run_share)
            else None
        )


class EveryIterations:
    """Freeze a learner every `iterations` iterations."""

    def __init__(self, iterations: int) -> None:
        if iterations <= 0:
            raise ValueError(f"iterations must be > 0, not {iterations}")
        self.iterations = iterations

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        return None if progress.iteration % self.iterations else f"every {self.iterations} iterations"


class WinRate(Paced):
    """Freeze a learner that beats the pool, or after a timeout.

    All counts are since the last freeze. A learner is due after at least the interval of agent steps (see `Paced`) and
    `min_games` games against the pool, when the lower end of the Wilson interval of its win rate exceeds `threshold`;
    or after `timeout_factor` intervals with any win rate (None: no timeout). AlphaStar's factor is 2.
    """

    def __init__(
        self,
        threshold: float,
        min_games: int,
        agent_steps: int | None,
        timeout_factor: float | None = None,
        confidence: float = 0.95,
        share_of_run: float | None = None,
        most_agent_steps: int | None = None,
    ) -> None:
        super().__init__(agent_steps, share_of_run, most_agent_steps)
        if not 0 < threshold < 1 or not 0 < confidence < 1:
            raise ValueError(f"threshold and confidence must be in (0, 1), not {threshold} and {confidence}")
        if timeout_factor is not None and timeout_factor < 1:
            raise ValueError(f"timeout_factor must be >= 1 or null, not {timeout_factor}")
        self.threshold = threshold
        self.min_games = min_games
        self.timeout_factor = timeout_factor
        self.confidence = confidence

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        steps, interval = (
            progress.steps(learner) - view.last_freeze(learner),
            self.interval(progress.all_steps, progress.run_share),
        )
        if steps >= interval and (reason := self.reason_to_freeze(view, learner)):
            return reason
        if self.timeout_factor is not None and steps >= self.timeout_factor * interval:
            return f"timeout: {steps:,} agent steps since the last freeze"
        return None

    def reason_to_freeze(self, view: LeagueView, learner: str) -> str | None:
        """Return the win rate in words, if it exceeds the threshold with confidence; else None."""
        tally = view.tallies[learner]
        # The tally counts whole games since the last freeze, unlike the effective games of the payoff.
        low, high = wilson(tally.win_rate, tally.games, self.confidence)
        if tally.games < self.min_games or low <= self.threshold:
            return None
        return f"win rate {tally.win_rate:.2f} [{low:.2f}, {high:.2f}] over {tally.games:,} games"


class Plateau(Paced):
    """Freeze a learner whose score against the meta-strategy no longer rises: an approximate best response.

    A learner is due when its mean score against the pool's `strategy` has not risen by `min_gain` for `patience_factor`
    intervals of agent steps (see `Paced`), at the earliest one and at the latest `budget_factor` intervals after its
    last freeze. PSRO (Lanctot et al., 2017) trains each response for a fixed budget. The best scores are saved with the
    league.
    """

    def __init__(
        self,
        strategy: MetaStrategy,
        agent_steps: int | None,
        patience_factor: float,
        min_gain: float,
        budget_factor: float,
        share_of_run: float | None = None,
        most_agent_steps: int | None = None,
    ) -> None:
        super().__init__(agent_steps, share_of_run, most_agent_steps)
        if patience_factor <= 0 or min_gain < 0 or budget_factor < 1:
            raise ValueError(
                "patience_factor must be > 0, min_gain >= 0 and budget_factor >= 1, not "
                f"{patience_factor}, {min_gain} and {budget_factor}"
            )
        self.strategy = strategy
        self.patience_factor = patience_factor
        self.min_gain = min_gain
        self.budget_factor = budget_factor
        # By learner: agent steps at its last freeze, the best score since then, and agent steps at that score.
        self._best: dict[str, tuple[int, float, int]] = {}

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        now, frozen, interval = (
            progress.steps(learner),
            view.last_freeze(learner),
            self.interval(progress.all_steps, progress.run_share),
        )
        pool = [snapshot.player.id for snapshot in view.facing(learner)]
        # Both [k], in the order of `facing`; 0.5 while there is no opponent.
        mixture = view.mixture_facing(learner, self.strategy)
        score = float(mixture @ view.payoff.scores(learner, pool)) if pool else 0.5
        best = self._best.get(learner)
        # A freeze ends the comparison: scores of before are against another pool.
        if best is None or best[0] != frozen or score > best[1] + self.min_gain:
            best = self._best[learner] = (frozen, score, now)
        # At the latest after the budget, at the earliest after one interval without a better score.
        if now - frozen >= self.budget_factor * interval:
            return f"budget: {now - frozen:,} agent steps since the last freeze"
        if now - frozen >= interval and now - best[2] >= self.patience_factor * interval:
            return f"plateau: {score:.2f} against the meta-strategy, no better for {now - best[2]:,} agent steps"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the measured interval and the best scores as JSON types."""
        return {**super().state_dict(), "best": {learner: list(best) for learner, best in self._best.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, or the best scores alone, as runs before version 0.3 saved them."""
        if "measured" not in state:
            state = {"measured": None, "best": state}
        super().load_state_dict(state)
        self._best = {learner: (frozen, score, steps) for learner, (frozen, score, steps) in state["best"].items()}


class AlphaStarSchedule(WinRate):
    """Like `WinRate`, but for each opponent: all main agents for a main exploiter, the whole pool for other roles.

    `min_games` and the intervals use the effective games of the payoff, which also contains games from before the last
    freeze. Keep `min_games` small: PFSP no longer selects opponents that a learner always beats.
    """

    def reason_to_freeze(self, view: LeagueView, learner: str) -> str | None:
        """Return the lowest win rate in words, if all win rates exceed the threshold with confidence; else None."""
        if view.role(learner) == MAIN_EXPLOITER:
            opponents = view.main_agents_facing(learner)
        else:
            opponents = tuple(snapshot.player.id for snapshot in view.facing(learner))
        if not opponents:
            return None
        # games [k]; lows [k, 2] are (low, high) of the intervals. The lowest low end decides for all opponents.
        games, lows = view.payoff.games(learner, opponents), view.payoff.intervals(learner, opponents, self.confidence)
        hardest = int(lows[:, 0].argmin())
        low, high = lows[hardest]
        if games.min() < self.min_games or low <= self.threshold:
            return None
        rate = view.payoff.win_rates(learner, opponents)[hardest]
        return f"win rate {rate:.2f} [{low:.2f}, {high:.2f}] or more against each of {len(opponents)}"

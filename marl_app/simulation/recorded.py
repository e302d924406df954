"""Players of a recorded run: the learner passes through the snapshots of the run as its agent steps grow.

The log-odds between two snapshots come from the run's payoff, or from their ratings if they never met (Bradley and
Terry, 1952). Between two snapshots the learner is a mixture of both: log-odds are interpolated by agent steps. The
learner's opponents change the results that the league records, but not what the learner becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.league.cycles import log_odds
from marl_app.league.outcomes import Ints
from marl_app.league.payoff import Float64s, Payoff
from marl_app.league.players import Player
from marl_app.league.ratings import ELO_PER_LOGIT, bradley_terry
from marl_app.league.schedule import TrainingProgress
from marl_app.league.view import LeagueView


class Recorded:
    """A model of learning that repeats a recorded run. A player's state is its agent steps since the first snapshot.

    pool: [n, n] log-odds of each snapshot (row) against each (column), by age. agent_steps: [n] at which they were
    frozen, increasing. Raises ValueError for fewer than two snapshots.
    """

    def __init__(self, pool: Float64s, agent_steps: Float64s) -> None:
        if len(agent_steps) < 2:
            raise ValueError(f"the pool of the run has {len(agent_steps)} snapshots: at least 2 are needed")
        self.pool = pool
        self.agent_steps = agent_steps - agent_steps[0]

    @classmethod
    def from_league_state(cls, state: Mapping[str, Any], lineage: str) -> Recorded:
        """Make the model from the state of a league (`League.state_dict`), with the snapshots of one lineage.

        Raises ValueError if no two of them have met.
        """
        line = [entry for entry in state["snapshots"] if Player.parse(entry["player"]).lineage == lineage]
        payoff = Payoff()
        payoff.load_state_dict(state["payoff"])
        players = [entry["player"] for entry in line]
        wins, games = payoff.counts(players)  # [n, n] each
        if not games.any():
            raise ValueError(f"no two snapshots of {lineage} have met in the run")
        ratings = bradley_terry(wins) / ELO_PER_LOGIT
        # Counted results where a pair has met, ratings elsewhere.
        rates = np.divide(wins, games, out=np.full_like(wins, 0.5), where=games > 0)
        pool = np.where(games > 0, log_odds(rates, games), ratings[:, None] - ratings[None, :])
        return cls(pool, np.array([entry["agent_steps"] for entry in line], np.float64))

    def start(self, rng: np.random.Generator) -> float:
        """Return the state of the first snapshot. `rng` is not used."""
        return 0.0

    def train(self, now: float, agent_steps: float, opponents: Sequence[float], matches: Ints) -> float:
        """Return the state `agent_steps` later; the opponents make no difference."""
        return now + agent_steps

    def log_odds(self, player: float, others: Sequence[float]) -> Float64s:
        """Return the log-odds [k] of `player` winning against each of the others."""
        # Bilinear: the log-odds of two mixtures are the weighted mean of those of their snapshots.
        odds: Float64s = self._mixture([player])[0] @ self.pool @ self._mixture(others).T
        return odds

    def _mixture(self, players: Sequence[float]) -> Float64s:
        """Return the weight of each snapshot in each player: [k, n], rows summing to 1."""
        last = len(self.agent_steps) - 1
        # [k] fractional index among the snapshots; interp clamps players after the last one.
        at = np.interp(np.asarray(players, np.float64), self.agent_steps, np.arange(last + 1))
        # The last snapshot is the upper end of the last interval.
        below = np.minimum(at.astype(np.intp), last - 1)
        weights: Float64s = np.zeros((len(at), last + 1))
        rows = np.arange(len(at))
        weights[rows, below], weights[rows, below + 1] = below + 1 - at, at - below
        return weights


class RecordedSchedule:
    """A schedule that freezes a learner when its run did, at these agent steps [n], the first of which is 0."""

    def __init__(self, agent_steps: Float64s) -> None:
        self._agent_steps = agent_steps

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        """Return the reason to freeze the learner now, or None."""
        line = view.snapshots_of(learner)
        number = (line[-1].player.generation or 0) + 1 if line else 0
        if number < len(self._agent_steps) and progress.steps(learner) >= self._agent_steps[number]:
            return f"recorded freeze of generation {number}"
        return None

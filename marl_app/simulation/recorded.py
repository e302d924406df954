"""Players of a run that was recorded: its learner becomes, step by step, what it became then.

Two snapshots play as the run's payoff says; those that never met as their ratings do (Bradley and Terry, 1952). Between
two of them the learner is a mixture of both: log-odds are interpolated by agent steps. Whom it meets changes what the
league knows of it, not what it learns: that was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.league.cycles import log_odds
from marl_app.league.outcomes import Ints
from marl_app.league.payoff import Floats, Payoff
from marl_app.league.players import Player
from marl_app.league.ratings import ELO_PER_LOGIT, bradley_terry
from marl_app.league.schedule import TrainingProgress
from marl_app.league.view import LeagueView


class Recorded:
    """`pool` [n, n] is the log-odds of each snapshot (row) against each, frozen at `agent_steps` [n], in this order.

    A player is its agent steps since the first of them: nothing else tells learners of this run apart. Raises
    ValueError for fewer than two.
    """

    def __init__(self, pool: Floats, agent_steps: Floats) -> None:
        if len(agent_steps) < 2:
            raise ValueError(f"its pool has {len(agent_steps)} snapshots, and two are the fewest to play with")
        self.pool = pool
        self.agent_steps = agent_steps - agent_steps[0]

    @classmethod
    def from_league_state(cls, state: Mapping[str, Any], lineage: str) -> Recorded:
        """From the state of a league (`League.state_dict`), the snapshots of one lineage.

        Raises ValueError if no two of them have met.
        """
        line = [one for one in state["snapshots"] if Player.parse(one["player"]).lineage == lineage]
        payoff = Payoff()
        payoff.load_state_dict(state["payoff"])
        players = [one["player"] for one in line]
        wins, games = payoff.counts(players)
        if not games.any():
            raise ValueError(f"no two snapshots of {lineage} have met in it")
        ratings = bradley_terry(wins) / ELO_PER_LOGIT
        rates = np.divide(wins, games, out=np.full_like(wins, 0.5), where=games > 0)
        pool = np.where(games > 0, log_odds(rates, games), ratings[:, None] - ratings[None, :])
        return cls(pool, np.array([one["agent_steps"] for one in line], np.float64))

    def start(self, rng: np.random.Generator) -> float:
        """The first snapshot. `rng` is not used."""
        return 0.0

    def train(self, now: float, agent_steps: float, opponents: Sequence[float], matches: Ints) -> float:
        """The learner so many agent steps later, whomever it met."""
        return now + agent_steps

    def log_odds(self, one: float, others: Sequence[float]) -> Floats:
        """Log-odds [k] of winning against each of these."""
        odds: Floats = self._shares([one])[0] @ self.pool @ self._shares(others).T
        return odds

    def _shares(self, players: Sequence[float]) -> Floats:
        """How much of each snapshot is in each player: [k, n], rows summing to 1."""
        last = len(self.agent_steps) - 1
        at = np.interp(np.asarray(players, np.float64), self.agent_steps, np.arange(last + 1))
        below = np.minimum(at.astype(np.intp), last - 1)
        shares: Floats = np.zeros((len(at), last + 1))
        rows = np.arange(len(at))
        shares[rows, below], shares[rows, below + 1] = below + 1 - at, at - below
        return shares


class RecordedSchedule:
    """A schedule: a learner is frozen when its run froze it, at these agent steps [n] (the first at once)."""

    def __init__(self, agent_steps: Floats) -> None:
        self._agent_steps = agent_steps

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        line = view.snapshots_of(learner)
        number = (line[-1].player.generation or 0) + 1 if line else 0
        if number < len(self._agent_steps) and progress.steps(learner) >= self._agent_steps[number]:
            return f"as generation {number} was"
        return None

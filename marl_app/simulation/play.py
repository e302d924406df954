"""The loop of a run without training: the league assigns, matches are drawn, results are recorded, learners frozen.

The league is the one that trains networks, with its matchmaker, schedule, payoff and thinning, and one assignment an
iteration, as one env runner gets. What a snapshot's digest names is the player as it was: a few numbers.

Half way an intruder may join the pool, a copy of the learner with a trick: whoever does not know it loses `elo` to it.
It is learned by meeting it and forgotten by not meeting it, and snapshots know what their learner knew.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy.special import expit

from marl_app.league.league import INITIAL, League, Outcomes, TrainingProgress
from marl_app.league.outcomes import Ints
from marl_app.league.payoff import Floats
from marl_app.league.players import MAIN_EXPLOITER, Learner
from marl_app.league.ratings import ELO_PER_LOGIT
from marl_app.simulation.measures import Forgetting, IntruderHunt, Window, count_matches

INTRUDER = Learner("intruder", MAIN_EXPLOITER)
"""A learner of the league that is never trained and frozen once, when the intruder joins."""


class Learning(Protocol):
    """How players play, and what becomes of them; a state is whatever it takes to know one."""

    def start(self, rng: np.random.Generator) -> Any:
        """The state of initial weights."""
        ...

    def train(self, now: Any, agent_steps: float, opponents: Sequence[Any], matches: Ints) -> Any:
        """The state after so many agent steps against `opponents`, met in `matches` [k]."""
        ...

    def log_odds(self, one: Any, others: Sequence[Any]) -> Floats:
        """Log-odds [k] of winning against each of these."""
        ...


@dataclass(frozen=True)
class Trick:
    """What the intruder has: it costs `elo`; it is known after about `learn_matches` against it, and forgotten in about
    `forget_matches` against others."""

    elo: float
    learn_matches: float
    forget_matches: float


@dataclass(frozen=True)
class Pace:
    """How much is played: at least `matches` of each learner, in whole iterations.

    A match is worth so many agent steps, one with itself `self_play` times as many. `window`: matches of a `Window`.
    `intruder_at`: the matches after which the intruder joins, None: never.
    """

    matches: int
    per_iteration: int
    agent_steps_per_match: float
    self_play: float
    window: int
    intruder_at: int | None


@dataclass(frozen=True)
class SimulatedPlayer:
    """A player: the state of its learning, whether it has the trick, and how well it knows it, in [0, 1]."""

    state: Any
    tricky: bool = False
    knows: float = 0.0


@dataclass
class SimulationHistory:
    """What became of one learner in `matches` of its own, with `snapshots` in the pool at the end, and what it cost.

    `assign_s` are of all `assignments` together, `seconds` of `all_matches` of all learners. A stretch of matches at
    the end that is shorter than a window is in none.
    """

    windows: list[Window]
    hunt: IntruderHunt
    forgetting: Forgetting
    assignments: int = 0
    assign_s: float = 0.0
    matches: int = 0
    snapshots: int = 0
    all_matches: int = 0
    seconds: float = 0.0


class Simulation:
    """One run of `league`, seen from its learner `watched`. Everybody but the intruder trains."""

    def __init__(
        self,
        league: League,
        watched: str,
        learning: Learning,
        pace: Pace,
        trick: Trick,
        opponent_slots: int,
        rng: np.random.Generator,
    ) -> None:
        self.league, self.watched, self.learning, self.pace, self.trick = league, watched, learning, pace, trick
        self._slots, self._rng = opponent_slots, rng
        self._initial = learning.start(rng)
        self._now = {name: SimulatedPlayer(self._initial) for name in league.learners if name != INTRUDER.lineage}
        self._figures: dict[str, SimulatedPlayer] = {}  # by digest
        self._agent_steps = dict.fromkeys(league.learners, 0.0)
        self._met: Counter[str] = Counter()
        self._before: tuple[str, ...] = ()
        self.history = SimulationHistory([], IntruderHunt(), Forgetting())

    def run(self) -> SimulationHistory:
        """Play all of it."""
        began, history = time.perf_counter(), self.history
        self._freeze(0)
        for iteration in range(1, math.ceil(self.pace.matches / self.pace.per_iteration) + 1):
            for learner in self._now:
                met = self._play(learner)
                if learner == self.watched:
                    self._met += met
            self._freeze(iteration)
            self._watch(iteration * self.pace.per_iteration)
        history.matches, history.snapshots = self.league.careers[self.watched].matches, len(self.league.snapshots)
        history.all_matches, history.seconds = self.league.matches, time.perf_counter() - began
        return history

    def _play(self, learner: str) -> Counter[str]:
        """One iteration of a learner: whom it met how often."""
        began = time.perf_counter()
        assignment = self.league.assign(learner, self._slots, self._rng)
        self.history.assign_s += time.perf_counter() - began
        self.history.assignments += 1
        matches = self._rng.multinomial(self.pace.per_iteration, assignment.shares)
        figures = [self._figures[one.digest] if one.digest else self._now[one.player] for one in assignment.opponents]
        wins = self._rng.binomial(matches, self._win_rates(self._now[learner], figures))
        players = tuple(one.player for one in assignment.opponents)
        zeros = np.zeros(len(players), np.int64)
        rules = tuple(one.rule for one in assignment.opponents)
        scores = wins.astype(np.float64)
        self.league.record(Outcomes(learner, players, rules, zeros, wins, zeros, matches - wins, matches, scores))
        worth = matches @ [self.pace.self_play if player == learner else 1.0 for player in players]
        self._train(learner, figures, matches, float(worth) * self.pace.agent_steps_per_match)
        return count_matches(players, matches.tolist())

    def _train(self, learner: str, figures: Sequence[SimulatedPlayer], matches: Ints, agent_steps: float) -> None:
        now = self._now[learner]
        against = int(matches[[figure.tricky for figure in figures]].sum())
        unknown = (1 - now.knows) * math.exp(-against / self.trick.learn_matches)
        knows = (1 - unknown) * math.exp(-(int(matches.sum()) - against) / self.trick.forget_matches)
        state = self.learning.train(now.state, agent_steps, [figure.state for figure in figures], matches)
        self._now[learner] = replace(now, state=state, knows=knows)
        self._agent_steps[learner] += agent_steps

    def _freeze(self, iteration: int) -> None:
        """Carry out what the league decides; the intruder joins when it is time, not when the league would like it."""
        matches, hunt = iteration * self.pace.per_iteration, self.history.hunt
        if self.pace.intruder_at is not None and matches >= self.pace.intruder_at and hunt.joined is None:
            hunt.joined = matches
            self._join(
                INTRUDER.lineage, SimulatedPlayer(self._now[self.watched].state, tricky=True, knows=1.0), "implanted"
            )
        steps = {name: int(steps) for name, steps in self._agent_steps.items()}
        for freeze in self.league.tick(TrainingProgress(steps, iteration), self._rng):
            if freeze.learner not in self._now:
                continue
            self._join(freeze.learner, self._now[freeze.learner], freeze.reason)
            if freeze.reset_to is not None:
                self.league.reset(freeze.learner, freeze.reset_to)
                digests = {snapshot.player.id: snapshot.digest for snapshot in self.league.snapshots}
                again = freeze.reset_to == INITIAL
                self._now[freeze.learner] = (
                    SimulatedPlayer(self._initial) if again else self._figures[digests[freeze.reset_to]]
                )

    def _join(self, learner: str, figure: SimulatedPlayer, reason: str) -> None:
        digest = str(len(self._figures))
        self._figures[digest] = figure
        self.league.add_snapshot(learner, digest, int(self._agent_steps[learner]), reason)

    def _watch(self, matches: int) -> None:
        """Measure the watched learner after so many of its matches."""
        win_rates = self.win_rates()
        self.history.forgetting.record(matches, win_rates)
        intruder = next((player for player in win_rates if player.startswith(INTRUDER.lineage)), None)
        if intruder is not None:
            self.history.hunt.record(matches, intruder in self._met, win_rates[intruder])
        if matches // self.pace.window > (matches - self.pace.per_iteration) // self.pace.window:
            there = [player for player in self._before if player in win_rates]
            rates = np.array(list(win_rates.values()))
            self.history.windows.append(Window.measure(matches, self._met, there, rates))
            self._met, self._before = Counter(), tuple(win_rates)

    def win_rates(self) -> Mapping[str, float]:
        """The true win rates of the watched learner against the pool, by id."""
        pool = self.league.snapshots
        rates = self._win_rates(self._now[self.watched], [self._figures[snapshot.digest] for snapshot in pool])
        return dict(zip((snapshot.player.id for snapshot in pool), rates.tolist(), strict=True))

    def _win_rates(self, one: SimulatedPlayer, others: Sequence[SimulatedPlayer]) -> Floats:
        """True win rates [k] of a figure against others."""
        odds = self.learning.log_odds(one.state, [other.state for other in others])
        surprised = [one.tricky * (1 - other.knows) - other.tricky * (1 - one.knows) for other in others]
        rates: Floats = expit(odds + np.array(surprised) * self.trick.elo / ELO_PER_LOGIT)
        return rates

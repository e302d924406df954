"""The loop of a run without training: assign opponents, draw match results, record them, train and freeze learners.

It uses the league that trains networks, with its matchmaker, schedule, payoff and thinning. Each learner gets one
assignment per iteration, as one env runner does. A snapshot's digest refers to the state of the synthetic player when
it was frozen.

An intruder may join the pool half way: a copy of the watched learner with a trick, which costs opponents `elo` unless
they have knowledge of it. Learners acquire this knowledge in matches against the intruder, and lose it in matches
against others; snapshots keep the knowledge that their learner had.
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
from marl_app.league.payoff import Float64s
from marl_app.league.players import MAIN_EXPLOITER, Learner
from marl_app.league.ratings import ELO_PER_LOGIT
from marl_app.simulation.measures import Forgetting, IntruderHunt, Window, count_matches

INTRUDER = Learner("intruder", MAIN_EXPLOITER)
"""A learner that is never trained, and is frozen once, when the intruder joins."""


class Learning(Protocol):
    """A model of learning: match probabilities and training. The state of a player is a value of any type."""

    def start(self, rng: np.random.Generator) -> Any:
        """Return the state of initial weights."""
        ...

    def train(self, now: Any, agent_steps: float, opponents: Sequence[Any], matches: Ints) -> Any:
        """Return the state after `agent_steps` in `matches` [k] against the `opponents`."""
        ...

    def log_odds(self, player: Any, others: Sequence[Any]) -> Float64s:
        """Return the log-odds [k] of `player` winning against each of the others."""
        ...


@dataclass(frozen=True)
class Trick:
    """The trick of the intruder.

    elo: its advantage over players without knowledge of it. learn_matches, forget_matches: time constants of acquiring
    the knowledge in matches against the intruder, and of losing it in matches against others.
    """

    elo: float
    learn_matches: float
    forget_matches: float


@dataclass(frozen=True)
class Pace:
    """The length of a simulation and its units.

    matches: minimum of each learner, played in whole iterations of `per_iteration` matches. agent_steps_per_match: of a
    match; `self_play` times as many in self-play. window: matches of a `Window`. intruder_at: matches after which the
    intruder joins; None = never.
    """

    matches: int
    per_iteration: int
    agent_steps_per_match: float
    self_play: float
    window: int
    intruder_at: int | None


@dataclass(frozen=True)
class SimulatedPlayer:
    """A player: the state of its learning, whether it has the trick, and its knowledge of the trick in [0, 1]."""

    state: Any
    has_trick: bool = False
    knowledge: float = 0.0


@dataclass
class SimulationHistory:
    """The history of one learner over its `matches`, with `snapshots` in the pool at the end, and computing times.

    assign_s: seconds of all `assignments` together. seconds: of `all_matches` of all learners. Matches at the end that
    do not fill a window are in no window.
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
    """One run of `league`, measured for its learner `watched`. All learners except the intruder train."""

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
        self._frozen: dict[str, SimulatedPlayer] = {}  # digest -> player
        self._agent_steps = dict.fromkeys(league.learners, 0.0)
        # Of the current window: opponent -> matches of the watched learner, and the pool at its start.
        self._met: Counter[str] = Counter()
        self._pool_before: tuple[str, ...] = ()
        self.history = SimulationHistory([], IntruderHunt(), Forgetting())

    def run(self) -> SimulationHistory:
        """Play all iterations; return the history."""
        began, history = time.perf_counter(), self.history
        # The initial weights are frozen where the schedule says so, before the first match.
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
        """Play one iteration of a learner; return opponent -> matches."""
        began = time.perf_counter()
        # 1. Assign opponents; only this part is timed.
        assignment = self.league.assign(learner, self._slots, self._rng)
        self.history.assign_s += time.perf_counter() - began
        self.history.assignments += 1
        # [k] int each, by opponent of the assignment: matches, wins
        matches = self._rng.multinomial(self.pace.per_iteration, assignment.shares)
        # Opponents without a digest are learners, which play with their current state.
        opponents = [
            self._frozen[entry.digest] if entry.digest else self._now[entry.player] for entry in assignment.opponents
        ]
        # 2. Draw the results from the true win rates, and record them.
        wins = self._rng.binomial(matches, self._win_rates(self._now[learner], opponents))
        players = tuple(entry.player for entry in assignment.opponents)
        zeros = np.zeros(len(players), np.int64)  # no draws
        rules = tuple(entry.rule for entry in assignment.opponents)
        scores = wins.astype(np.float64)
        self.league.record(Outcomes(learner, players, rules, zeros, wins, zeros, matches - wins, matches, scores))
        # 3. Train. A match of the learner against itself gives `self_play` times the agent steps.
        trained_sides = matches @ [self.pace.self_play if player == learner else 1.0 for player in players]
        self._train(learner, opponents, matches, float(trained_sides) * self.pace.agent_steps_per_match)
        return count_matches(players, matches.tolist())

    def _train(self, learner: str, opponents: Sequence[SimulatedPlayer], matches: Ints, agent_steps: float) -> None:
        """Update a learner's state and its knowledge of the trick."""
        now = self._now[learner]
        against = int(matches[[opponent.has_trick for opponent in opponents]].sum())
        # Ignorance decays in matches against the intruder, then knowledge in the others.
        ignorance = (1 - now.knowledge) * math.exp(-against / self.trick.learn_matches)
        knowledge = (1 - ignorance) * math.exp(-(int(matches.sum()) - against) / self.trick.forget_matches)
        state = self.learning.train(now.state, agent_steps, [opponent.state for opponent in opponents], matches)
        self._now[learner] = replace(now, state=state, knowledge=knowledge)
        self._agent_steps[learner] += agent_steps

    def _freeze(self, iteration: int) -> None:
        """Carry out the decisions of the league. The intruder joins at its time, whatever the schedule."""
        matches, hunt = iteration * self.pace.per_iteration, self.history.hunt
        # 1. The intruder joins once.
        if self.pace.intruder_at is not None and matches >= self.pace.intruder_at and hunt.joined is None:
            hunt.joined = matches
            self._join(
                INTRUDER.lineage,
                SimulatedPlayer(self._now[self.watched].state, has_trick=True, knowledge=1.0),
                "implanted",
            )
        # 2. Freeze the learners that are due, and reset those that restart.
        steps = {name: int(steps) for name, steps in self._agent_steps.items()}
        for freeze in self.league.tick(TrainingProgress(steps, iteration), self._rng):
            if freeze.learner not in self._now:  # the intruder
                continue
            self._join(freeze.learner, self._now[freeze.learner], freeze.reason)
            if freeze.reset_to is not None:
                self.league.reset(freeze.learner, freeze.reset_to)
                digests = {snapshot.player.id: snapshot.digest for snapshot in self.league.snapshots}
                again = freeze.reset_to == INITIAL
                self._now[freeze.learner] = (
                    SimulatedPlayer(self._initial) if again else self._frozen[digests[freeze.reset_to]]
                )

    def _join(self, learner: str, player: SimulatedPlayer, reason: str) -> None:
        """Add a player to the pool as a snapshot; its digest is a running number."""
        digest = str(len(self._frozen))
        self._frozen[digest] = player
        self.league.add_snapshot(learner, digest, int(self._agent_steps[learner]), reason)

    def _watch(self, matches: int) -> None:
        """Measure the watched learner after `matches` matches."""
        win_rates = self.win_rates()
        self.history.forgetting.record(matches, win_rates)
        # The intruder's only snapshot, once it has joined.
        intruder = next((player for player in win_rates if player.startswith(INTRUDER.lineage)), None)
        if intruder is not None:
            self.history.hunt.record(matches, intruder in self._met, win_rates[intruder])
        # A window ends if this iteration has passed a multiple of its length.
        if matches // self.pace.window > (matches - self.pace.per_iteration) // self.pace.window:
            stayed = [player for player in self._pool_before if player in win_rates]
            rates = np.array(list(win_rates.values()))
            self.history.windows.append(Window.measure(matches, self._met, stayed, rates))
            self._met, self._pool_before = Counter(), tuple(win_rates)

    def win_rates(self) -> Mapping[str, float]:
        """Return player id -> true win rate of the watched learner against the pool."""
        pool = self.league.snapshots
        rates = self._win_rates(self._now[self.watched], [self._frozen[snapshot.digest] for snapshot in pool])
        return dict(zip((snapshot.player.id for snapshot in pool), rates.tolist(), strict=True))

    def _win_rates(self, player: SimulatedPlayer, others: Sequence[SimulatedPlayer]) -> Float64s:
        """Return the true win rates [k] of a player against others."""
        odds = self.learning.log_odds(player.state, [other.state for other in others])
        # [k] advantage by the trick, in [-1, 1]: it works as far as the opponent lacks knowledge of it.
        advantage = [
            player.has_trick * (1 - other.knowledge) - other.has_trick * (1 - player.knowledge) for other in others
        ]
        rates: Float64s = expit(odds + np.array(advantage) * self.trick.elo / ELO_PER_LOGIT)
        return rates

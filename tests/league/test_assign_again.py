"""The matchmaker is called once after each change of the league, and assignments equal those of a call every time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from marl_app.league.assignment import Candidates
from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.alphastar import AlphaStar
from marl_app.league.matchmakers.elo import Elo
from marl_app.league.matchmakers.matchmaker import Branch, Matchmaker
from marl_app.league.matchmakers.meta import Meta
from marl_app.league.matchmakers.mix import Mix
from marl_app.league.matchmakers.openai_five import OpenAIFive
from marl_app.league.matchmakers.pfsp import Pfsp
from marl_app.league.meta.nash import Nash
from marl_app.league.players import INITIAL, MAIN_EXPLOITER, Guest, Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.view import LeagueView

RULES: dict[str, Callable[[], Matchmaker]] = {
    "pfsp": Pfsp,
    "alphastar": AlphaStar,
    "elo": lambda: Elo(200.0),
    "meta": lambda: Meta(Nash()),
    "openai_five": lambda: OpenAIFive(0.5, 0.3),
    "mix": lambda: Mix([{"probability": 0.5, "matchmaker": rule} for rule in (Pfsp(), OpenAIFive(1.0, 0.3))]),
}


def league(matchmaker: Matchmaker) -> League:
    return League([Learner("main"), Learner("hunter", MAIN_EXPLOITER)], matchmaker, EverySteps(10), pool_limit=6)


def results(made: League, rng: np.random.Generator) -> Outcomes:
    pool = [snapshot.player.id for snapshot in made.snapshots]
    players = (str(rng.choice(pool)), "hunter")
    wins, losses = rng.integers(0, 30, size=(2, 2))
    zeros = np.zeros(2, np.int64)
    return Outcomes("main", players, ("quality",) * 2, zeros, wins, zeros, losses, wins + losses, wins.astype(float))


@pytest.mark.parametrize("rule", RULES)
def test_an_assignment_uses_the_newest_state(rule: str) -> None:
    """Random changes of the league, with two assignments after each: the second uses the cache."""
    made, rng = league(RULES[rule]()), np.random.default_rng(0)
    for learner in made.learners:
        made.add_snapshot(learner, f"{learner}_first", 0, "")
    guest = Guest("guest", "g" * 64, "a bot")
    saved = [made.state_dict()]
    changes: dict[str, Callable[[], object]] = {
        "record": lambda: made.record(results(made, rng)),
        "freeze": lambda: made.add_snapshot(str(rng.choice(["main", "hunter"])), f"{rng.integers(2**60):064x}", 0, ""),
        "measured": lambda: made.record_measured_pair(
            *(s.player.id for s in made.snapshots[-2:]), 90.0, 0.0, 10.0, 90.0
        ),
        "reset": lambda: made.reset("hunter", str(rng.choice([INITIAL, made.snapshots[-1].player.id]))),
        "invite": lambda: made.invite([guest] if rng.random() < 0.5 else []),
        "resume": lambda: made.load_state_dict(saved.pop(0)),
    }
    assigned = set()
    for number in range(150):
        changes[str(rng.choice(list(changes), p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05]))]()
        saved.append(made.state_dict())
        digests = {snapshot.player.id: snapshot.digest for snapshot in made.snapshots}
        for learner in ("main", "hunter") * 2:
            fresh = made.matchmaker.branches(replace(made.view, mixtures={}, fitted_ratings={}), learner)
            expected = Candidates(learner, fresh, digests).draw(2, np.random.default_rng(number))
            assignment = made.assign(learner, 2, np.random.default_rng(number))
            assert assignment.opponents == expected.opponents
            assert assignment.shares.tolist() == expected.shares.tolist()
            assigned.add(assignment.opponents)
    assert len(assigned) > 60  # otherwise the test shows nothing


def test_the_matchmaker_is_called_once_per_change_and_learner() -> None:
    class Counting(Pfsp):
        calls = 0

        def branches(self, view: LeagueView, learner: str) -> list[Branch]:
            self.calls += 1
            return super().branches(view, learner)

    rule, rng = Counting(), np.random.default_rng(0)
    made = league(rule)
    made.add_snapshot("main", "0" * 64, 0, "")
    for _ in range(3):
        for learner in made.learners:
            for _ in range(5):
                made.assign(learner, 2, rng)
        made.record(results(made, rng))
    assert rule.calls == 3 * 2

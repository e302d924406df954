"""Matchmakers by age, rating, quality and meta-strategy; and properties of all rules in any league."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.league.matchmakers.age_rank import AgeRank
from marl_app.league.matchmakers.alphastar import AlphaStar
from marl_app.league.matchmakers.elo import Elo, proximity
from marl_app.league.matchmakers.ghost import Ghost
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.matchmaker import Adaptive, Matchmaker
from marl_app.league.matchmakers.meta import Meta
from marl_app.league.matchmakers.mix import Mix
from marl_app.league.matchmakers.openai_five import OpenAIFive
from marl_app.league.matchmakers.pfsp import Pfsp
from marl_app.league.matchmakers.rectified import Rectified, rectify
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.meta.nash import Nash
from marl_app.league.players import LEAGUE_EXPLOITER, MAIN_AGENT, MAIN_EXPLOITER, Learner
from tests.league.leagues import freeze, league_of, outcomes, probabilities_of


def test_ghost_meets_the_newest_snapshots() -> None:
    league = league_of(Ghost(window=2, play_against_latest=0.4), 5)
    expected = {"main": 0.4, "main@0003": 0.3, "main@0004": 0.3}
    assert probabilities_of(league.matchmaker.branches(league.view, "main")) == pytest.approx(expected)
    assert [b.rule for b in Ghost(9, 0.0).branches(league.view, "main")] == ["window"]
    assert [b.rule for b in Ghost(9, 1.0).branches(league.view, "main")] == ["self_play"]


def test_age_rank_by_hand() -> None:
    view = league_of(Latest(), 6).view
    # Ranks 1 to 4 of the oldest four, to the power of 0.5: 1, 1.4142, 1.7321, 2 of 6.1463.
    (branch,) = AgeRank(0.5, skip_newest=2).branches(view, "main")
    assert branch.opponents == ("main@0000", "main@0001", "main@0002", "main@0003")
    assert branch.probabilities == pytest.approx([0.1627, 0.2301, 0.2818, 0.3254], abs=1e-4)
    (branch,) = AgeRank(0.0, skip_newest=6).branches(view, "main")  # no others are left
    assert branch.probabilities == pytest.approx([1 / 6] * 6)


def test_elo_prefers_equal_strength() -> None:
    assert proximity(np.array([0.0, 100.0, -200.0]), 100.0) == pytest.approx(
        np.array([1, np.e**-1, np.e**-4]) / 1.3862, 1e-4
    )
    assert proximity(np.array([1e6, 1e6 + 100]), 1.0).tolist() == [1.0, 0.0]  # all far away: the nearest
    league = league_of(Elo(scale=400.0), 2)
    league.record(outcomes("main", [("main@0000", "x", 1000, 100), ("main@0001", "x", 500, 500)]))
    (branch,) = league.matchmaker.branches(league.view, "main")
    # 400 points away and 0: 1/e to 1.
    assert branch.probabilities == pytest.approx([0.2689, 0.7311], abs=1e-3)


def test_rectified_leaves_out_opponents_that_beat_the_learner() -> None:
    mixture = np.array([0.5, 0.3, 0.2])
    assert rectify(mixture, np.array([0.4, 0.5, 0.9])) == pytest.approx([0, 0.6, 0.4])
    assert rectify(mixture, np.array([0.4, 0.1, 0.2])).tolist() == mixture.tolist()
    assert rectify(np.array([1.0, 0.0]), np.array([0.4, 0.9])).tolist() == [1.0, 0.0]  # the learner beats no part of it
    league = league_of(Rectified(Nash()), 3)
    rock, paper, scissors = (snapshot.player.id for snapshot in league.snapshots)
    for winner, loser in ((paper, rock), (scissors, paper), (rock, scissors)):
        league.payoff.record(winner, loser, 100, 0, 0)
    league.payoff.record("main", rock, 0, 0, 100)  # as scissors would do
    league.payoff.record("main", paper, 100, 0, 0)
    (branch,) = league.matchmaker.branches(league.view, "main")
    assert branch.probabilities == pytest.approx([0, 0.5, 0.5])


def test_openai_five_by_hand() -> None:
    rule = OpenAIFive(past=0.2, eta=0.01)
    league = league_of(rule, 2)
    assert probabilities_of(rule.branches(league.view, "main")) == pytest.approx(
        {"main": 0.8, "main@0000": 0.1, "main@0001": 0.1}
    )
    # N p = 1 for both. 100 wins lower the first by 1; losses and matches of other rules change nothing.
    league.record(outcomes("main", [("main@0000", "quality", 100, 50), ("main@0001", "quality", 0, 70)]))
    league.record(outcomes("main", [("main@0001", "uniform", 500, 0), ("main", "self_play", 9, 9)]))
    assert rule.qualities(league.view, "main") == pytest.approx([-1.0, 0.0])
    first = np.exp(-1) / (1 + np.exp(-1))  # 0.2689
    expected = {"main": 0.8, "main@0000": 0.2 * first, "main@0001": 0.2 * (1 - first)}
    assert probabilities_of(rule.branches(league.view, "main")) == pytest.approx(expected)
    # A rarer opponent loses more per win: 10 * 0.01 / (2 * 0.2689) = 0.1859.
    league.record(outcomes("main", [("main@0000", "quality", 10, 0)]))
    assert rule.qualities(league.view, "main") == pytest.approx([-1.1859, 0.0], abs=1e-4)
    # Met with these probabilities and always beaten, both fall equally fast: p = (0.234, 0.766), 1000 * 0.01 / 2 = 5.
    league.record(outcomes("main", [("main@0000", "quality", 234, 0), ("main@0001", "quality", 766, 0)]))
    assert rule.qualities(league.view, "main") == pytest.approx([-6.186, -5.0], abs=0.01)
    freeze(league)  # a new snapshot starts at the highest quality
    assert rule.qualities(league.view, "main") == pytest.approx([-6.186, -5.0, -5.0], abs=0.01)


def test_a_win_lowers_a_quality_by_at_most_one() -> None:
    rule = OpenAIFive(past=0.2, eta=0.01)
    league = league_of(rule, 2)
    league.record(outcomes("main", [("main@0000", "quality", 3000, 0)]))
    assert rule.qualities(league.view, "main")[0] == pytest.approx(-30)
    league.record(outcomes("main", [("main@0000", "quality", 1, 0)]))
    assert rule.qualities(league.view, "main")[0] == pytest.approx(-31)


def test_qualities_are_saved_inside_a_mix_and_other_rules_start_without_state() -> None:
    def mix(second: Matchmaker) -> Mix:
        return Mix([{"probability": 0.5, "matchmaker": Uniform()}, {"probability": 0.5, "matchmaker": second}])

    league = league_of(mix(OpenAIFive(0.2, 0.01)), 3)
    league.record(outcomes("main", [("main@0001", "quality", 77, 0)]))
    state = json.loads(json.dumps(league.state_dict()))
    resumed, other = league_of(mix(OpenAIFive(0.2, 0.01))), league_of(mix(Pfsp()))
    for each in (resumed, other):
        each.load_state_dict(state)
    assert isinstance(league.matchmaker, Adaptive) and not isinstance(Pfsp(), Adaptive)
    expected = probabilities_of(league.matchmaker.branches(league.view, "main"))
    assert expected["main@0001"] < expected["main@0000"]
    assert probabilities_of(resumed.matchmaker.branches(resumed.view, "main")) == expected
    back = league_of(OpenAIFive(0.2, 0.01))  # saved at another index
    back.load_state_dict(json.loads(json.dumps(other.state_dict())))
    assert (
        len(set(probabilities_of(back.matchmaker.branches(back.view, "main")).values())) == 2
    )  # 0.8, and 0.2 / 3 each


RULES = {
    "age_rank": lambda: AgeRank(0.5, 5),
    "alphastar": AlphaStar,
    "elo": lambda: Elo(200.0),
    "ghost": lambda: Ghost(3, 0.5),
    "latest": Latest,
    "meta": lambda: Meta(Nash()),
    "mix": lambda: Mix(
        [{"probability": 0.5, "matchmaker": OpenAIFive(0.5, 0.1)}, {"probability": 0.5, "matchmaker": Pfsp()}]
    ),
    "openai_five": lambda: OpenAIFive(0.2, 0.01),
    "pfsp": Pfsp,
    "rectified": lambda: Rectified(Nash()),
    "uniform": Uniform,
}
LEARNERS = [
    Learner("main", MAIN_AGENT),
    Learner("rival", MAIN_AGENT),
    Learner("me", MAIN_EXPLOITER),
    Learner("le", LEAGUE_EXPLOITER),
]
events = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=12)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=20)
@given(events, st.integers(0, 2**32 - 1))
def test_a_matchmaker_returns_a_distribution_and_resumes_from_json(
    rule: str, history: list[tuple[int, int, int, bool]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    league = league_of(RULES[rule](), 0, *LEARNERS)
    for who, wins, losses, frozen in history:
        learner = LEARNERS[who].lineage
        if frozen:
            freeze(league, learner)
        assignment = league.assign(learner, 2, rng)
        picked = assignment.opponents[int(rng.integers(len(assignment.opponents)))]
        league.record(outcomes(learner, [(picked.player, picked.rule, wins, losses)]))
    resumed = league_of(RULES[rule](), 0, *LEARNERS)
    resumed.load_state_dict(json.loads(json.dumps(league.state_dict())))
    for learner in league.learners:
        branches = league.matchmaker.branches(league.view, learner)
        assert sum(branch.probability for branch in branches) == pytest.approx(1)
        for branch in branches:
            assert branch.probability > 0 and (branch.probabilities >= 0).all()
            assert branch.probabilities.sum() == pytest.approx(1)
            assert len(branch.opponents) == len(branch.win_rates) == len(branch.probabilities)
        known = {*league.learners, *(snapshot.player.id for snapshot in league.snapshots)}
        assert probabilities_of(branches).keys() <= known
        assert probabilities_of(resumed.matchmaker.branches(resumed.view, learner)) == probabilities_of(branches)


@pytest.mark.parametrize("rule", RULES)
def test_with_an_empty_pool_main_agents_play_themselves(rule: str) -> None:
    league = league_of(RULES[rule]())
    assert probabilities_of(league.matchmaker.branches(league.view, "main")) == pytest.approx({"main": 1.0})


def test_invalid_settings_are_refused() -> None:
    for make, words in (
        (lambda: Ghost(0, 0.5), "window"),
        (lambda: Ghost(1, 1.5), "play_against_latest"),
        (lambda: AgeRank(float("inf")), "exponent"),
        (lambda: AgeRank(1.0, -1), "skip_newest"),
        (lambda: Elo(0.0), "scale"),
        (lambda: OpenAIFive(1.1, 0.01), "past"),
        (lambda: OpenAIFive(0.2, 0.0), "eta"),
    ):
        with pytest.raises(ValueError, match=words):
            make()

"""Each rule returns its exact distribution; the golden values are AlphaStar's formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from marl_app.league.league import League
from marl_app.league.matchmakers.fixed import Fixed
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.matchmakers.meta import Meta
from marl_app.league.matchmakers.mix import Mix
from marl_app.league.matchmakers.pfsp import WEIGHTINGS, Pfsp, pfsp_weights
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.meta.nash import Nash
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.payoff import Payoff
from marl_app.league.players import MAIN_AGENT, Guest, Learner, Player, Snapshot
from marl_app.league.schedule import EverySteps
from marl_app.league.view import LeagueView, Tally


def view_of(*win_rates: float) -> LeagueView:
    """A league whose learner `main` has these win rates, over 1000 games each, against its snapshots."""
    payoff = Payoff()
    snapshots = []
    for generation, x in enumerate(win_rates):
        snapshots.append(Snapshot(Player("main", generation), f"{generation:064x}", generation, None, MAIN_AGENT))
        payoff.record("main", snapshots[-1].player.id, round(1000 * x), 0, 1000 - round(1000 * x))
    return LeagueView((Learner("main"),), tuple(snapshots), payoff, {"main": Tally()})


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("squared", [0.7570, 0.2336, 0.0093]),  # .81, .25, .01 / 1.07
        ("variance", [0.2093, 0.5814, 0.2093]),  # .09, .25, .09 / .43
        ("linear", [0.6, 0.3333, 0.0667]),  # .9, .5, .1 / 1.5
        ("linear_capped", [0.4545, 0.4545, 0.0909]),  # .5, .5, .1 / 1.1
    ],
)
def test_pfsp_golden_values(weighting: str, expected: list[float]) -> None:
    assert pfsp_weights(np.array([0.1, 0.5, 0.9]), weighting) == pytest.approx(expected, abs=1e-4)
    (branch,) = Pfsp(weighting).branches(view_of(0.1, 0.5, 0.9), "main")
    assert branch.rule == f"pfsp_{weighting}" and branch.probability == 1.0
    assert branch.opponents == ("main@0000", "main@0001", "main@0002")
    assert branch.win_rates == pytest.approx([0.1, 0.5, 0.9])
    assert branch.probabilities == pytest.approx(expected, abs=1e-4)


@given(st.sampled_from(list(WEIGHTINGS)), arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1)))
def test_pfsp_weights_are_a_distribution(weighting: str, win_rates: np.ndarray) -> None:
    weights = pfsp_weights(win_rates, weighting)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1.0)


def test_pfsp_is_uniform_when_all_opponents_are_always_beaten() -> None:
    assert pfsp_weights(np.ones(4)).tolist() == [0.25] * 4
    assert pfsp_weights(np.array([0.0, 1.0]), "variance").tolist() == [0.5, 0.5]
    assert pfsp_weights(np.array([1 - 1e-6, 1.0])).tolist() == [0.5, 0.5]  # 1e-12 is below the 1e-10 that counts


def test_the_error_of_an_unknown_weighting_names_the_known_weightings() -> None:
    with pytest.raises(ValueError, match="squared, variance, linear, linear_capped"):
        Pfsp("cubed")


def test_uniform() -> None:
    (branch,) = Uniform().branches(view_of(0.1, 0.9), "main")
    assert branch.rule == "uniform" and branch.probabilities.tolist() == [0.5, 0.5]


def test_meta_plays_the_equilibrium_of_the_pool() -> None:
    view = view_of(0.1, 0.5, 0.9)
    rock, paper, scissors = (snapshot.player.id for snapshot in view.snapshots)
    # Biased rock-paper-scissors over 1,000 games per pair, with the advantages 0.25, 0.05 and 0.5: its equilibrium is
    # (1/16, 10/16, 5/16).
    for winner, loser, wins in [(paper, rock, 750), (scissors, paper, 550), (rock, scissors, 1000)]:
        view.payoff.record(winner, loser, wins, 0, 1000 - wins)
    (branch,) = Meta(Nash()).branches(view, "main")
    assert (branch.rule, branch.probability) == ("meta", 1.0)
    assert branch.opponents == (rock, paper, scissors)
    assert branch.probabilities == pytest.approx([0.0625, 0.625, 0.3125])
    assert branch.win_rates == pytest.approx([0.1, 0.5, 0.9])  # the learner's
    (branch,) = Meta(UniformMixture()).branches(view, "main")
    assert branch.probabilities == pytest.approx([1 / 3] * 3)


EIGHTY_TWENTY = Mix([{"probability": 0.8, "matchmaker": Latest()}, {"probability": 0.2, "matchmaker": Uniform()}])


def test_mix_multiplies_probabilities_and_nests() -> None:
    outer = Mix([{"probability": 0.5, "matchmaker": EIGHTY_TWENTY}, {"probability": 0.5, "matchmaker": Pfsp()}])
    branches = outer.branches(view_of(0.5), "main")
    assert [(b.rule, b.probability) for b in branches] == [
        ("self_play", pytest.approx(0.4)),
        ("uniform", pytest.approx(0.1)),
        ("pfsp_squared", 0.5),
    ]


@pytest.mark.parametrize("probabilities", [[0.5, 0.4], [1.2, -0.2], [], [float("nan")], [1.0 + 1e-5]])
def test_a_mix_without_a_distribution_is_refused(probabilities: list[float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        Mix([{"probability": p, "matchmaker": Latest()} for p in probabilities])


def test_rounded_thirds_are_close_enough_and_still_sum_to_one() -> None:
    mix = Mix([{"probability": 0.3333333, "matchmaker": Latest()}] * 3)
    assert sum(b.probability for b in mix.branches(view_of(), "main")) == pytest.approx(1.0, abs=1e-15)


def test_a_rule_of_probability_zero_is_left_out() -> None:
    mix = Mix([{"probability": 1.0, "matchmaker": Uniform()}, {"probability": 0.0, "matchmaker": Latest()}])
    assert [b.rule for b in mix.branches(view_of(0.5), "main")] == ["uniform"]


@pytest.mark.parametrize("matchmaker", [Latest(), Uniform(), Pfsp(), EIGHTY_TWENTY, Meta(Nash())])
def test_with_an_empty_pool_everything_is_self_play(matchmaker: Matchmaker) -> None:
    branches = matchmaker.branches(view_of(), "main")
    assert {(b.rule, b.opponents) for b in branches} == {("self_play", ("main",))}
    assert sum(b.probability for b in branches) == pytest.approx(1.0)


def test_fixed_probabilities_are_by_name() -> None:
    league = League([Learner("main"), Learner("other")], Latest(), EverySteps(1))
    league.invite([Guest("bot", "0" * 64, "random")])
    for learner in ("main", "other"):
        league.add_snapshot(learner, learner, 1, "test")
    fixed = Fixed({"bot": 0.5, "main": 0.2, "other@0000": 0.3, "bot@0000": 0.0})
    for learner in ("main", "other"):  # names of learners stand for the current learners
        (branch,) = fixed.branches(league.view, learner)
        assert branch.opponents == ("bot@0000", "main", "other@0000", "bot@0000")
        assert branch.probabilities.tolist() == [0.5, 0.2, 0.3, 0.0] and branch.rule == "fixed"
    with pytest.raises(ValueError, match="unknown player 'main@0001': expected one of main, other, bot@0000"):
        Fixed({"main@0001": 1.0}).branches(league.view, "main")
    for wrong in ({"main": 0.5}, {"main": 1.5, "bot": -0.5}, {}):
        with pytest.raises(ValueError, match="must be >= 0 and sum to 1"):
            Fixed(wrong)

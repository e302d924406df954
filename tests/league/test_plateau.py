"""PSRO in the league: pairs measured outside of training, and a freeze when the score of a response stops rising."""

import json

import numpy as np
import pytest

from marl_app.league.league import League, TrainingProgress
from marl_app.league.matchmakers.meta import Meta
from marl_app.league.meta.nash import Nash
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.players import Learner
from marl_app.league.schedule import Plateau


def make_league(**settings: float) -> League:
    plateau = Plateau(
        UniformMixture(),
        **{"agent_steps": 100, "patience_factor": 0.5, "min_gain": 0.01, "budget_factor": 5, **settings},  # type: ignore[arg-type]
    )
    league = League([Learner("main")], Meta(Nash()), plateau, meta_strategy=Nash())
    league.add_snapshot("main", "a" * 64, 0, "x")
    return league


def reason(league: League, steps: int, score: float) -> str | None:
    """Return the reason to freeze main with this score against main@0000 after these agent steps."""
    league.payoff.replace("main", "main@0000", 1000 * score, 0, 1000 * (1 - score), 1000 * score)
    decisions = league.tick(TrainingProgress(steps, 0))
    return decisions[0].reason if decisions else None


def test_a_response_is_frozen_when_its_score_no_longer_rises() -> None:
    league = make_league()
    assert [reason(league, steps, score) for steps, score in ((40, 0.5), (80, 0.6), (120, 0.7), (160, 0.705))] == [
        None
    ] * 4
    assert reason(league, 170, 0.702) == "plateau: 0.70 against the meta-strategy, no better for 50 agent steps"


def test_a_response_that_still_rises_is_frozen_at_its_budget() -> None:
    league = make_league()
    assert not any(reason(league, steps, 0.5 + steps / 1000) for steps in range(0, 500, 40))
    assert reason(league, 500, 0.999) == "budget: 500 agent steps since the last freeze"


def test_the_best_score_survives_a_resume_and_ends_with_a_freeze() -> None:
    league = make_league()
    assert reason(league, 100, 0.9) is None
    resumed = make_league()
    resumed.load_state_dict(json.loads(json.dumps(league.state_dict())))
    assert reason(resumed, 150, 0.9) is not None and reason(make_league(), 150, 0.9) is None
    before = league.state_dict()
    before["schedule"] = before["schedule"]["best"]  # as it was saved without the measured interval
    old = make_league()
    old.load_state_dict(before)
    assert reason(old, 150, 0.9) is not None
    resumed.add_snapshot("main", "b" * 64, 150, "x")
    assert reason(resumed, 260, 0.4) is None  # worse than before the freeze, but the best score since


@pytest.mark.parametrize("wrong", [{"patience_factor": 0}, {"min_gain": -0.1}, {"budget_factor": 0.9}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="patience"):
        make_league(**wrong)


def test_measured_pairs_replace_played_results() -> None:
    league = make_league()
    league.payoff.record("main", "main@0000", 90, 0, 10)
    league.add_snapshot("main", "b" * 64, 10, "x")
    assert league.view.mixture(Nash()).tolist() == [0.0, 1.0]  # main@0001 has inherited main's 0.9
    assert league.unmeasured_pairs() == [("main@0000", "main@0001")]
    league.record_measured_pair("main@0000", "main@0001", 60, 0, 40, 60)
    assert league.unmeasured_pairs() == [] and league.view.mixture(Nash()).tolist() == [1.0, 0.0]
    assert league.payoff.matrix(["main@0000", "main@0001"]) == pytest.approx(np.array([[0.5, 0.6], [0.4, 0.5]]))
    assert league.payoff.win_rates("main", ["main@0000"]).tolist() == [0.9]  # the record of the learner stays
    resumed = make_league()
    resumed.load_state_dict(json.loads(json.dumps(league.state_dict())))
    assert resumed.unmeasured_pairs() == []
    league.add_snapshot("main", "c" * 64, 20, "x")
    assert league.unmeasured_pairs() == [("main@0000", "main@0002"), ("main@0001", "main@0002")]
    league.record_measured_pair("main@0000", "gone@0000", 1, 0, 0, 1)  # not in the pool: nothing happens
    assert league.payoff.games("main@0000", ["gone@0000"]).tolist() == [0]

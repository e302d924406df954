"""Explanations of why two players met or never met, in a league with known matches."""

import json

import pandas as pd
import pytest

from marl_app.evaluation.why import explain_pair
from marl_app.league.league import League
from marl_app.league.matchmakers.matchmaker import branches_by_win_rate, self_play
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from tests.evaluation.runs import write_run


class Newest:
    """A matchmaker that always assigns the newest snapshot."""

    def branches(self, view, learner):
        return branches_by_win_rate(view.snapshots[-1:], view, learner, "newest", lambda rates: rates / rates.sum())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """main@0000 after iteration 2, main@0001 after 4, main@0002 after 6 of 8; each plays 4 matches per iteration."""
    folder = write_run(tmp_path_factory.mktemp("run"))
    state = json.loads((folder / "checkpoints" / "checkpoint-00000001" / "state.json").read_text())["league"]
    trained = pd.read_json(folder / "progress.jsonl", lines=True).set_index("iteration")["steps/trained_agent_steps"]
    return state, pd.read_parquet(folder / "matches"), trained


def explain(run, first, second, matchmaker=None, records=None):
    state, matches, trained = run
    league = League([Learner("main")], matchmaker or Uniform(), EverySteps(1))
    league.load_state_dict(state)
    branches = {"main": league.matchmaker.branches(league.view, "main")}
    return explain_pair(first, second, state, matches if records is None else records, trained, branches)


def test_matches_are_counted_by_rule_in_either_order_of_the_names(run):
    # main@0001 is played in iterations 5 to 8, and main wins 3 of 4.
    assert explain(run, "main", "main@0001") == explain(run, "main@0001", "main") == [
        "main and main@0001 met in 16 matches of training, in iterations 5 to 8:",
        "main met main@0001 by rule uniform in 16 of them, with a probability of 0.25, and scored 0.750.",
        "The matchmaker gives main a match with main@0001 with a probability of 0.333 by rule uniform now.",
    ]  # fmt: skip


def test_self_play(run):
    met, by, probability = explain(run, "main", "main")
    assert met == "main and main met in 80 matches of training, in iterations 1 to 8:"
    assert by == "main met main by rule self_play in 80 of them, with a probability of 0.25."
    assert probability.startswith(
        "The matchmaker gives main a match with main with probability 0 now (its rules: uniform)"
    )


def test_snapshots_never_meet(run):
    # Until main@0002 was frozen after iteration 6, it was main, and had met main@0000 in iterations 3 to 6.
    never, but, met, by = explain(run, "main@0002", "main@0000")
    assert never.startswith("main@0000 and main@0002 never met in training: both are frozen")
    assert "one of the two is a learner (main)" in never
    assert but == "But before it was frozen, main@0002 was main. Until then:"
    assert met == "main and main@0000 met in 16 matches of training, in iterations 3 to 6:" and "scored 0.750" in by
    [alone] = explain(run, "main@0001", "main@0001")
    assert alone.startswith("main@0001 never plays itself")


def test_the_matchmaker_gives_the_match_probability_zero(run):
    records = run[1][run[1]["opponent"] != "main@0000"]
    assert explain(run, "main@0000", "main", Newest(), records) == [
        "main and main@0000 never met in training.",
        # 6 iterations with 10 self-play matches, 4 with 4 matches against main@0001 and 2 with 4 against main@0002.
        "main@0000 was frozen in iteration 2; 84 matches were recorded after that.",
        "The matchmaker gives main a match with main@0000 with probability 0 now (its rules: newest).",
    ]


def test_not_frozen_yet(run):
    assert explain(run, "main", "main@0003") == ["main@0003 does not exist: the newest snapshot of main is main@0002."]
    empty = {**run[0], "snapshots": []}
    assert explain_pair(
        "main",
        "main@0000",
        empty,
        run[1].iloc[:0],
        None,
        {"main": self_play(League([Learner("main")], Newest(), EverySteps(1)).view, "main")},
    ) == ["main@0000 does not exist: main has not been frozen yet."]


def test_left_the_pool(run):
    state = {**run[0], "snapshots": run[0]["snapshots"][1:]}
    left, met, by = explain_pair("main@0000", "main", state, run[1], run[2], {})
    assert left == (
        "main@0000 has left the pool, which had reached its limit (league.pool_limit); "
        "it was last played in iteration 8."
    )
    assert met == "main and main@0000 met in 24 matches of training, in iterations 3 to 8:" and "uniform" in by


@pytest.mark.parametrize("name", ["exploiter", "main@3", "", "exploiter@0000"])
def test_an_unknown_name_is_an_error_that_lists_the_players(run, name):
    with pytest.raises(ValueError, match=f"has no player '{name}'; its players are main, main@0000 to main@0002"):
        explain(run, "main", name)

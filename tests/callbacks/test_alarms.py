"""A league that forgets is warned of, once, and a resumed run knows what it knew."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from marl_app.callbacks.alarms import WarnOfAlarms
from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.standing import Standing
from marl_app.metrics.names import METRICS
from marl_app.runs.state import RunState
from tests.rllib.runs import running, watch_messages


class Run:
    """What the callback sees of an algorithm, with a league that is driven by hand; an iteration takes a minute."""

    def __init__(self):
        self.league = League([Learner("main")], Latest(), EverySteps(1), Payoff(0.99))
        for number in range(2):
            self.league.add_snapshot("main", f"{number:064x}", number, "x")
        self.spec, self.counters = SimpleNamespace(main_learner="main"), SimpleNamespace(seconds=0.0)
        self.anchors, self.readings = {}, []

    def standing(self):
        return Standing.from_league(self.league)

    def iterate(self, callback, first, second):
        """1,000 matches against each snapshot, won in these shares; what the callback reports and says then."""
        wins = np.array([1000 * first, 1000 * second], np.int64)
        pool = tuple(snapshot.player.id for snapshot in self.league.snapshots)
        none = np.zeros(2, np.int64)
        results = (none, wins, none, 1000 - wins, np.full(2, 1000), wins.astype(np.float64))
        self.league.record(Outcomes("main", pool, ("x", "x"), *results))
        self.counters.seconds += 60
        result = callback.on_train_result(algorithm=self, result={})
        if result.reading is not None:
            self.readings = [*self.readings, result.reading][-result.keep_readings :]
        return result.metrics, result.messages


def forgetful(keep=60, every_s=60.0):
    return WarnOfAlarms(every_s, keep, {"forgetting": {"drop": 0.2, "min_games": 50}})


def test_a_warning_when_it_begins_and_again_when_it_comes_back():
    """A thousand games with a decay of 0.99 are the whole win rate: what is played is what is read."""
    run, callback = Run(), forgetful()
    text = "warning: forgetting: 1 of 2 snapshots are beaten less than before, main@0000 in {} of games after 90%"
    assert run.iterate(callback, 0.9, 0.5) == ({"alarms/forgetting": 0.0}, [])
    assert run.iterate(callback, 0.8, 0.6) == ({"alarms/forgetting": 0.0}, [])
    assert run.iterate(callback, 0.5, 0.7) == ({"alarms/forgetting": 1.0}, [text.format("50%")])
    assert run.iterate(callback, 0.4, 0.7) == ({"alarms/forgetting": 1.0}, [])  # it lasts
    assert run.iterate(callback, 0.85, 0.7) == ({"alarms/forgetting": 0.0}, [])
    assert run.iterate(callback, 0.6, 0.7) == ({"alarms/forgetting": 1.0}, [text.format("60%")])
    assert len(run.readings) == 6


def test_only_the_newest_readings_count():
    run, callback = Run(), forgetful(keep=3)
    said = [run.iterate(callback, first, 0.5) for first in (0.9, 0.5, 0.5, 0.5)]
    assert [len(messages) for _, messages in said] == [0, 1, 0, 0] and len(run.readings) == 3
    assert [report["alarms/forgetting"] for report, _ in said] == [0, 1, 1, 0]  # the 0.9 is forgotten itself


def test_between_readings_the_report_says_what_the_last_one_said():
    run, callback = Run(), forgetful(every_s=120.0)
    said = [run.iterate(callback, first, 0.5) for first in (0.9, 0.5, 0.5, 0.9)]
    assert len(run.readings) == 2  # of the first and third minute
    assert [report["alarms/forgetting"] for report, _ in said] == [0, 0, 1, 1]


def test_a_callback_that_starts_with_readings_does_not_say_again_what_rang():
    run = Run()
    said = [run.iterate(forgetful(), first, 0.5) for first in (0.9, 0.5, 0.5)]  # resumed each time
    assert [report["alarms/forgetting"] for report, _ in said] == [0, 1, 1]
    assert [len(messages) for _, messages in said] == [0, 1, 0]


def test_too_few_readings_to_compare():
    with pytest.raises(ValueError, match="keep=1: alarms compare readings"):
        forgetful(keep=1)


@pytest.mark.usefixtures("ray_here")
def test_in_a_run_as_it_is_configured_and_through_a_checkpoint(tmp_path):
    """No pool plays like a thousand players, so that alarm rings from the second snapshot with games on."""
    often = ("callbacks.alarms.every_s=0", "callbacks.alarms.keep=4", "league.schedule.agent_steps=100")
    rings = ("callbacks.alarms.thresholds.collapsed_diversity={players:1000,min_pool:2}",)
    with running(tmp_path, "env=rock_paper_scissors", "callbacks=[league,alarms]", *often, *rings) as algorithm:
        messages = watch_messages(algorithm)
        for _ in range(6):
            algorithm.train()
        keys = {key for key in algorithm.report if key.startswith("alarms/")}
        assert keys == {metric.key for metric in METRICS if metric.key.startswith("alarms/")} and len(keys) == 5
        assert algorithm.report["alarms/collapsed_diversity"] == 1.0
        warnings = [message for message in messages if message.startswith("warning: ")]
        assert sum("collapsed diversity" in text for text in warnings) == 1

        readings, state = algorithm.readings, json.loads(json.dumps(algorithm.run_state().to_json(), allow_nan=False))
        assert len(readings) == 4 and readings[-1].matches == 6 * 512
        algorithm.readings = []
        algorithm.load_run_state(RunState.from_json(state))
        assert algorithm.readings == readings
        del state["readings"]  # as older checkpoints
        algorithm.load_run_state(RunState.from_json(state))
        assert algorithm.readings == []

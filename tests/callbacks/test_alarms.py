"""WarnOfAlarms: one warning each time an alarm starts, and readings that a checkpoint keeps."""

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
    """A stand-in for the algorithm: a league whose results are set by hand, and one minute per iteration."""

    def __init__(self):
        self.league = League([Learner("main")], Latest(), EverySteps(1), Payoff(0.99))
        for number in range(2):
            self.league.add_snapshot("main", f"{number:064x}", number, "x")
        self.spec, self.counters = SimpleNamespace(main_learner="main"), SimpleNamespace(seconds=0.0)
        self.anchors, self.readings = {}, []

    def standing(self):
        return Standing.from_league(self.league)

    def iterate(self, callback, first, second):
        """Record 1,000 matches against each snapshot with these win rates; return (report, new messages)."""
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


def test_each_start_of_an_alarm_gives_one_warning():
    """With a decay of 0.99 per game, the last 1,000 games determine the win rate: each reading is the rate played."""
    run, callback = Run(), forgetful()
    text = "warning: forgetting: 1 of 2 snapshots are beaten less than before, main@0000 in {} of games after 90%"
    assert run.iterate(callback, 0.9, 0.5) == ({"alarms/forgetting": 0.0}, [])
    assert run.iterate(callback, 0.8, 0.6) == ({"alarms/forgetting": 0.0}, [])
    assert run.iterate(callback, 0.5, 0.7) == ({"alarms/forgetting": 1.0}, [text.format("50%")])
    assert run.iterate(callback, 0.4, 0.7) == ({"alarms/forgetting": 1.0}, [])  # still on: no second warning
    assert run.iterate(callback, 0.85, 0.7) == ({"alarms/forgetting": 0.0}, [])
    assert run.iterate(callback, 0.6, 0.7) == ({"alarms/forgetting": 1.0}, [text.format("60%")])
    assert len(run.readings) == 6


def test_an_alarm_compares_the_newest_keep_readings():
    run, callback = Run(), forgetful(keep=3)
    results = [run.iterate(callback, first, 0.5) for first in (0.9, 0.5, 0.5, 0.5)]
    assert [len(messages) for _, messages in results] == [0, 1, 0, 0] and len(run.readings) == 3
    assert [report["alarms/forgetting"] for report, _ in results] == [0, 1, 1, 0]  # the 0.9 has left the readings


def test_between_readings_the_report_repeats_the_last_reading():
    run, callback = Run(), forgetful(every_s=120.0)
    results = [run.iterate(callback, first, 0.5) for first in (0.9, 0.5, 0.5, 0.9)]
    assert len(run.readings) == 2  # in the first and third minute
    assert [report["alarms/forgetting"] for report, _ in results] == [0, 0, 1, 1]


def test_a_resumed_callback_does_not_repeat_the_warning():
    run = Run()
    results = [run.iterate(forgetful(), first, 0.5) for first in (0.9, 0.5, 0.5)]  # a new callback each time
    assert [report["alarms/forgetting"] for report, _ in results] == [0, 1, 1]
    assert [len(messages) for _, messages in results] == [0, 1, 0]


def test_keep_below_two_is_refused():
    with pytest.raises(ValueError, match="keep=1: alarms compare readings"):
        forgetful(keep=1)


@pytest.mark.usefixtures("ray_here")
def test_alarms_of_a_configured_run_and_of_its_checkpoint(tmp_path):
    """The diversity alarm with a threshold of 1,000 players is on as soon as two snapshots have games."""
    settings = ("callbacks.alarms.every_s=0", "callbacks.alarms.keep=4", "league.schedule.agent_steps=100")
    threshold = ("callbacks.alarms.thresholds.collapsed_diversity={players:1000,min_pool:2}",)
    with running(tmp_path, "env=rock_paper_scissors", "callbacks=[league,alarms]", *settings, *threshold) as algorithm:
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
        del state["readings"]  # as in checkpoints of older versions
        algorithm.load_run_state(RunState.from_json(state))
        assert algorithm.readings == []

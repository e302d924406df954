"""The measures in examples computed by hand."""

import numpy as np
import pytest

from marl_app.simulation.measures import Forgetting, IntruderHunt, Window, count_matches


def test_a_window() -> None:
    met = {"main": 50, "main@0000": 25, "main@0003": 25}
    window = Window.measure(1000, met, ["main@0000", "main@0001", "main@0002"], np.array([0.9, 0.2, 0.4, 0.5]))
    assert window.coverage == pytest.approx(1 / 3)  # main@0003 joined during the window
    assert window.effective_opponents == pytest.approx(2**1.5)  # entropy 1/2 + 1/2 + 1/2 bits
    assert (window.snapshots, window.pool_win_rate, window.hardest_win_rate) == (4, 0.5, 0.2)
    assert Window.measure(1000, met, [], np.array([0.5])).coverage is None


def test_an_intruder_hunt() -> None:
    hunt = IntruderHunt(joined=100)
    assert hunt.found_after is hunt.beaten_after is None
    hunt.record(200, met=False, win_rate=0.1)
    hunt.record(300, met=True, win_rate=0.2)
    hunt.record(400, met=True, win_rate=0.5)
    hunt.record(500, met=True, win_rate=0.4)  # the first time counts
    assert (hunt.found_after, hunt.beaten_after) == (200, 300)


def test_forgetting() -> None:
    forgetting = Forgetting()
    forgetting.record(100, {"a": 0.6, "b": 0.59, "c": 0.9})
    assert (forgetting.beaten, forgetting.mean_time(100)) == (2, None)
    forgetting.record(200, {"a": 0.5, "b": 0.4, "c": 0.9})  # at exactly 0.5 a is not forgotten; b was never beaten
    forgetting.record(400, {"a": 0.4, "b": 0.7, "c": 0.9})  # a is forgotten after 300 matches
    assert (forgetting.beaten, forgetting.forgotten) == (3, 1)
    assert forgetting.mean_time(400) == 300 + 300  # c has stayed beaten for 300 as well
    forgetting.record(500, {"a": 0.8, "b": 0.7})  # c has left the pool: censored after 400
    assert forgetting.mean_time(700) == 300 + 400 + 300 + 200  # b since 400, a again since 500
    assert (forgetting.beaten, forgetting.forgotten) == (4, 1)


def test_the_estimate_is_the_mean_of_exponential_times() -> None:
    rng = np.random.default_rng(0)
    times = np.ceil(rng.exponential(200, 2000)).astype(int)  # a third of them is censored after 220 matches
    forgetting = Forgetting()
    for matches in range(221):
        forgetting.record(matches, {str(number): 0.9 if matches < end else 0.1 for number, end in enumerate(times)})
    assert forgetting.forgotten == (times <= 220).sum() < 1500
    assert forgetting.mean_time(220) == pytest.approx(200, rel=0.06)


def test_matches_by_opponent() -> None:
    assert count_matches(["a", "b", "a", "c"], [1, 2, 3, 0]) == {"a": 4, "b": 2}

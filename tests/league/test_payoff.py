"""The payoff counts like AlphaStar's, game by game; batches equal its expectation."""

import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.league.payoff import Payoff, wilson

DECAYS = st.sampled_from([1.0, 0.9999, 0.99, 0.5, 0.01])


def sequential(results: str, decay: float) -> tuple[float, float, float]:
    """AlphaStar's rule, one game at a time: (games, wins, draws) of a fresh pair after e.g. "wwld"."""
    games = wins = draws = 0.0
    for result in results:
        games, wins, draws = games * decay + 1, wins * decay + (result == "w"), draws * decay + (result == "d")
    return games, wins, draws


def test_three_games_at_alphastars_decay_by_hand() -> None:
    payoff = Payoff(0.99)
    for wins, draws, losses in [(1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        payoff.record("a", "b", wins, draws, losses)
    games = 0.99**2 + 0.99 + 1  # win, then draw, then loss: the oldest decayed twice
    assert payoff.games("a", ["b"]) == pytest.approx([games])
    assert payoff.win_rates("a", ["b"]) == pytest.approx([(0.99**2 + 0.99 / 2) / games])
    assert payoff.win_rates("b", ["a"]) == pytest.approx([(1 + 0.99 / 2) / games])  # mirrored


@given(DECAYS, st.integers(0, 300), st.sampled_from("wdl"), st.text("wdl", max_size=5))
def test_a_batch_of_equal_results_is_exactly_the_sequential_rule(decay: float, n: int, kind: str, before: str) -> None:
    payoff = Payoff(decay)
    for result in before:
        payoff.record("a", "b", *(int(result == k) for k in "wdl"))
    payoff.record("a", "b", *(n * (kind == k) for k in "wdl"))
    games, wins, draws = sequential(before + n * kind, decay)
    assert payoff.games("a", ["b"])[0] == pytest.approx(games, rel=1e-9)
    points, _ = payoff.counts(["a", "b"])
    assert points[0, 1] == pytest.approx(wins + draws / 2, rel=1e-9)


@settings(max_examples=30)
@given(DECAYS, st.text("wdl", min_size=1, max_size=5), st.text("wdl", max_size=3))
def test_a_mixed_batch_is_the_mean_over_all_its_orders(decay: float, batch: str, before: str) -> None:
    payoff = Payoff(decay)
    for result in before:
        payoff.record("a", "b", *(int(result == k) for k in "wdl"))
    payoff.record("a", "b", *(batch.count(k) for k in "wdl"))
    orders = [sequential(before + "".join(order), decay) for order in permutations(batch)]
    games, wins, draws = np.mean(orders, axis=0)
    points, total = payoff.counts(["a", "b"])
    assert total[0, 1] == total[1, 0] == pytest.approx(games, rel=1e-9)
    assert points[0, 1] == pytest.approx(wins + draws / 2, rel=1e-9)
    assert points[1, 0] == pytest.approx(games - wins - draws / 2, rel=1e-9)


def test_decay_bounds_the_memory() -> None:
    payoff = Payoff(0.9995)
    payoff.record("a", "b", 10**6, 0, 0)
    assert payoff.games("a", ["b"])[0] == pytest.approx(2000)  # 1 / (1 - d)
    payoff.record("a", "b", 0, 0, 10**6)
    assert payoff.win_rates("a", ["b"])[0] == pytest.approx(0.0, abs=1e-9)  # the old wins are forgotten


def test_pairs_without_games_and_self_play() -> None:
    payoff = Payoff()
    payoff.record("a", "a", 5, 0, 0)  # self-play is never recorded
    assert payoff.win_rates("a", ["a", "never seen"]).tolist() == [0.5, 0.5]
    assert payoff.games("a", ["a", "never seen"]).tolist() == [0.0, 0.0]
    assert payoff.intervals("a", ["a"]).tolist() == [[0.0, 1.0]]
    assert payoff.win_rates("a", []).shape == (0,)
    assert payoff.matrix([]).shape == (0, 0)


def test_a_snapshot_inherits_the_record_of_its_learner_and_is_then_independent() -> None:
    payoff = Payoff()
    payoff.record("main", "main@0000", 3, 0, 1)
    payoff.copy_row("main", "main@0001")
    assert payoff.win_rates("main@0001", ["main@0000", "main"]).tolist() == [0.75, 0.5]
    assert payoff.win_rates("main@0000", ["main@0001"]).tolist() == [0.25]
    assert payoff.games("main@0001", ["main", "main@0001"]).tolist() == [0, 0]
    payoff.record("main", "main@0000", 0, 0, 4)
    assert payoff.win_rates("main@0001", ["main@0000"]).tolist() == [0.75]


PLAYERS = [f"p{i}" for i in range(12)]  # more than the first table holds, so that it grows
ROWS = st.tuples(st.sampled_from(PLAYERS), st.sampled_from(PLAYERS), *[st.integers(0, 5)] * 3)


@given(DECAYS, st.sampled_from(PLAYERS), st.lists(ROWS, max_size=25), st.lists(ROWS, max_size=25))
def test_a_dropped_player_leaves_no_trace(
    decay: float, gone: str, before: list[tuple[str, str, int, int, int]], after: list[tuple[str, str, int, int, int]]
) -> None:
    payoff, never = Payoff(decay), Payoff(decay)
    for row in before:
        payoff.record(*row)
        if gone not in row:
            never.record(*row)
    payoff.drop(gone)
    for row in after:  # a dropped player may return, without a record
        payoff.record(*row)
        never.record(*row)
    payoff.copy_row("p0", "new")
    never.copy_row("p0", "new")
    for mine, expected in zip(payoff.counts([*PLAYERS, "new"]), never.counts([*PLAYERS, "new"]), strict=True):
        assert (mine == expected).all()
    copy = Payoff(decay)
    copy.load_state_dict(json.loads(json.dumps(payoff.state_dict())))
    assert copy.state_dict() == payoff.state_dict()


def test_a_drop_from_a_full_table_makes_room() -> None:
    payoff = Payoff()
    for number in range(1, 8):  # with p0 as many as the first table holds
        payoff.record("p0", f"p{number}", number, 0, 0)
    payoff.drop("p3")
    payoff.drop("p3")  # again, and a player that never played: nothing happens
    payoff.drop("unknown")
    assert payoff.games("p0", ["p2", "p3", "p4"]).tolist() == [2, 0, 4]
    for number in (8, 9):  # the second does not fit: the table grows
        payoff.record("p0", f"p{number}", number, 0, 0)
    assert payoff.games("p0", PLAYERS[:10]).tolist() == [0, 1, 2, 0, 4, 5, 6, 7, 8, 9]
    assert payoff.games("p9", PLAYERS[:10]).tolist() == [9, *[0] * 9]


@given(st.data())
def test_matrix_is_antisymmetric_around_a_half_at_any_size(data: st.DataObject) -> None:
    payoff = Payoff(data.draw(DECAYS))
    ids = [f"p{i}" for i in range(20)]  # more than the first table holds, so that it grows
    player, count = st.sampled_from(ids), st.integers(0, 50)
    for row in data.draw(st.lists(st.tuples(player, player, count, count, count), max_size=30)):
        payoff.record(*row)
    matrix = payoff.matrix(ids)
    assert np.allclose(matrix + matrix.T, 1.0)
    assert ((matrix >= 0) & (matrix <= 1)).all()
    wins, games = payoff.counts(ids)
    assert np.allclose(wins + wins.T, games)

    copy = Payoff(payoff.decay_per_game)
    copy.load_state_dict(json.loads(json.dumps(payoff.state_dict())))
    payoff.record("p0", "new", 1, 2, 3)
    copy.record("p0", "new", 1, 2, 3)
    assert copy.state_dict() == payoff.state_dict()  # to the last bit


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.1, float("nan")])
def test_a_decay_outside_0_1_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay_per_game"):
        Payoff(decay)


def test_negative_results_are_refused() -> None:
    with pytest.raises(ValueError, match=">= 0"):
        Payoff().record("a", "b", 1, -1, 0)


def test_wilson_known_values() -> None:
    # 8 of 10 at 95%: (0.490, 0.943), the usual textbook example; [0, 1] without games.
    assert wilson(0.8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert wilson([0.5, 1.0], [0, 10]) == pytest.approx(np.array([[0, 1], [0.7225, 1.0]]), abs=1e-4)


def test_the_coverage_of_wilsons_interval_is_as_stated_and_higher_with_draws() -> None:
    rng = np.random.default_rng(0)
    for draw_rate in (0.0, 0.5):
        p = [(1 - draw_rate) * 0.6, draw_rate, (1 - draw_rate) * 0.4]
        wins, draws, _ = rng.multinomial(200, p, size=4000).T
        low, high = wilson((wins + draws / 2) / 200, 200).T
        truth = p[0] + p[1] / 2
        coverage = ((low <= truth) & (truth <= high)).mean()
        assert coverage > (0.94 if draw_rate == 0 else 0.98)  # 0.5 draws halve the variance: 95% becomes 99%

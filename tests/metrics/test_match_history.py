"""Matches over time, in bins that become wider."""

import numpy as np

from marl_app.metrics.match_history import MatchHistory


def test_an_iteration_is_a_bin_while_there_are_bins():
    history = MatchHistory(bins=4)
    history.add(1, ["main", "main@0000"], [8, 2])
    history.add(3, ["main@0000", "main@0000"], [1, 4])  # twice: by two rules, or on two sides
    assert history.opponents == ["main", "main@0000"]
    matches, last = history.table(["main@0000", "main", "main@0001"])
    assert (matches.tolist(), last) == ([[2, 0, 5], [8, 0, 0], [0, 0, 0]], 3)


def test_bins_double_their_width_and_no_match_is_lost():
    history, plain = MatchHistory(bins=4), {}
    rng = np.random.default_rng(0)
    for iteration in range(1, 24):
        number = int(rng.integers(0, 9))
        history.add(iteration, ["a"], [number])
        plain[iteration] = number
    # 23 iterations need bins of 8 (4 bins of 4 are 16): 1 to 8, 9 to 16, 17 to 24.
    matches, last = history.table(["a"])
    expected = [sum(n for iteration, n in plain.items() if (iteration - 1) // 8 == part) for part in range(3)]
    assert (matches.tolist(), last) == ([expected], 24)


def test_a_history_without_matches_is_empty():
    matches, last = MatchHistory().table([])
    assert (matches.shape, last) == ((0, 0), 0)

"""The replay buffer, and the segments of steps."""

import numpy as np
import pytest

from marl_app.players.modules.actor_critic import LENGTHS
from marl_app.rllib.team_q.collector import TEAM, _segments
from marl_app.rllib.team_q.replay import Replay

RNG = np.random.default_rng(0)


def fragment(first, *lengths):
    """Return rows that are numbered from `first` on, in segments of these lengths."""
    rows = np.arange(first, first + sum(lengths))
    return {TEAM: {LENGTHS: np.array(lengths)}, "player": {"obs": rows[:, None], "memory": np.array(lengths)[:, None]}}


def stored_segments(replay):
    """Return all segments of a buffer as lists of their rows."""
    drawn = replay.sample(500, np.random.default_rng(1))
    ends = np.cumsum(drawn[TEAM][LENGTHS])
    found = {tuple(part) for part in np.split(drawn["player"]["obs"][:, 0], ends[:-1])}
    assert (drawn["player"]["memory"][:, 0] == drawn[TEAM][LENGTHS]).all()  # a column per segment
    return sorted(map(list, found))


def test_only_stored_segments_are_sampled():
    replay = Replay(10)
    assert replay.rows == 0
    replay.add_fragment(fragment(0, 2, 1))
    assert stored_segments(replay) == [[0, 1], [2]]
    assert (replay.rows, replay.mean_length) == (3, 1.5)


def test_the_oldest_segments_are_replaced_as_a_whole():
    replay = Replay(10)
    replay.add_fragment(fragment(0, 2, 3, 1))  # rows 0 to 5
    replay.add_fragment(fragment(6, 3))  # rows 6 to 8; one row is free
    replay.add_fragment(fragment(20, 2, 1))  # does not fit: written from the start, over segments [0, 1] and [2, 3, 4]
    assert stored_segments(replay) == [[5], [6, 7, 8], [20, 21], [22]]
    replay.add_fragment(fragment(30, 10))
    assert stored_segments(replay) == [list(range(30, 40))] and replay.rows == 10
    with pytest.raises(ValueError, match="11 rows does not fit"):
        replay.add_fragment(fragment(0, 11))


def test_it_never_holds_more_than_its_capacity_and_only_the_newest():
    replay, first = Replay(64), 0
    for _ in range(200):
        lengths = RNG.integers(1, 9, size=RNG.integers(1, 5))
        replay.add_fragment(fragment(first, *lengths))
        first += lengths.sum()
        assert replay.rows <= 64
        held = stored_segments(replay)
        assert all(part == list(range(part[0], part[0] + len(part))) for part in held)
        assert held[0][0] >= first - 64 - 32  # unused rows at the ring's end: less than a fragment
        assert held[-1][-1] == first - 1
    assert replay.nbytes < 64 * 16 + 64 * 32


def test_every_step_has_the_same_probability():
    replay = Replay(100)
    replay.add_fragment(fragment(0, 1, 9, 4))
    counts = np.bincount(replay.sample(30_000, RNG)["player"]["obs"][:, 0], minlength=14)
    np.testing.assert_allclose(counts / 10_000, 1, atol=0.05)


def test_steps_become_segments():
    # Environment 0 is terminated at step 1, environment 1 is truncated at step 0; both go on with new matches.
    ended = np.array([[False, True], [True, False], [False, False]])
    # Rows: 2 * step + match; closing rows 6, 7 and 8: match 1 after step 0, matches 0 and 1 at the end.
    order, lengths = _segments(ended, np.array([0, 2, 2]), np.array([1, 0, 1]))
    assert lengths.tolist() == [2, 2, 2, 3]
    assert np.split(order, np.cumsum(lengths)[:-1])[0].tolist() == [0, 2]
    assert order[2:].tolist() == [4, 7, 1, 6, 3, 5, 8]

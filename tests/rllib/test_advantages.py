"""GAE over linked rows, compared with a short chain by hand and with the recursion of one agent at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.rllib.ppo.advantages import gae


def chain(rewards, values, last_value, gamma, lambda_, pending=None):
    """Return the advantages of one agent that acts at every step; `last_value`: the value after its last row."""
    count = len(rewards)
    successors = np.array([*range(1, count), -1])
    last_values = np.zeros(count, np.float32)
    last_values[-1] = last_value
    blocks = [(row, row + 1) for row in range(count)]
    rewards, values = np.array(rewards, np.float32), np.array(values, np.float32)
    return gae(rewards, values, successors, last_values, blocks, gamma, lambda_, pending)


def test_a_chain_by_hand():
    # gamma 1/2, lambda 1/2, so an advantage is its delta plus a quarter of the next advantage.
    # deltas, from the back: 4 + 0.5 * 0 - 2 = 2;  0 + 0.5 * 2 - 3 = -2;  1 + 0.5 * 3 - 1 = 1.5
    # advantages: 2;  -2 + 2 / 4 = -1.5;  1.5 - 1.5 / 4 = 1.125
    np.testing.assert_array_equal(chain([1, 0, 4], [1, 3, 2], 0, 0.5, 0.5), [1.125, -1.5, 2.0])


def test_what_follows_the_last_row_counts_only_where_the_episode_goes_on():
    # As above, but with a value of 8 after the last row: its delta and its advantage grow by 0.5 * 8 = 4,
    # and each advantage before it by a quarter of the next one's growth.
    terminated = chain([1, 0, 4], [1, 3, 2], 0, 0.5, 0.5)
    cut_off = chain([1, 0, 4], [1, 3, 2], 8, 0.5, 0.5)
    np.testing.assert_array_equal(cut_off - terminated, [0.25, 1.0, 4.0])


def test_a_pending_row_is_worth_its_value_and_its_own_reward_waits():
    # The last row is incomplete: the row before it is bootstrapped from its value 2, without its reward 4.
    # -2 (delta of the middle row as above);  1.5 - 2 / 4 = 1.0
    np.testing.assert_array_equal(chain([1, 0, 4], [1, 3, 2], 0, 0.5, 0.5, np.array([2])), [1.0, -2.0, 0.0])


@pytest.mark.parametrize(
    ("gamma", "lambda_", "expected"),
    [
        (0.0, 0.9, [1 - 1, 2 - 3, 4 - 2]),  # only the next reward counts
        (1.0, 1.0, [1 + 2 + 4 + 8 - 1, 2 + 4 + 8 - 3, 4 + 8 - 2]),  # Monte Carlo: the return minus the value
        (1.0, 0.0, [1 + 3 - 1, 2 + 2 - 3, 4 + 8 - 2]),  # one step: the delta itself
    ],
)
def test_edges_of_gamma_and_lambda(gamma, lambda_, expected):
    np.testing.assert_array_equal(chain([1, 2, 4], [1, 3, 2], 8, gamma, lambda_), expected)


def test_no_rows():
    nothing = np.zeros(0, np.float32)
    assert gae(nothing, nothing, np.zeros(0, np.int64), nothing, [], 0.9, 0.9).shape == (0,)


@st.composite
def fragments(draw):
    """Draw rows of several agents in the order of time, linked at random; some last rows are incomplete."""
    steps = draw(st.lists(st.lists(st.integers(0, 4), unique=True, max_size=5), min_size=1, max_size=8))
    numbers = st.floats(-10, 10, width=32)
    rows, latest, successors, blocks = 0, {}, [], []
    for agents in steps:
        blocks.append((rows, rows + len(agents)))
        for agent in agents:
            cut = draw(st.booleans())  # the agent's match has ended in between
            if agent in latest and not cut:
                successors[latest[agent]] = rows
            latest[agent] = rows
            successors.append(-1)
            rows += 1
    columns = [np.array(draw(st.lists(numbers, min_size=rows, max_size=rows)), np.float32) for _ in range(3)]
    waiting = [row for row in latest.values() if draw(st.booleans())]
    gamma, lambda_ = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    return *columns, np.array(successors, np.int64), blocks, gamma, lambda_, np.array(sorted(waiting), np.int64)


@given(fragments())
def test_equals_the_plain_recursion(fragment):
    rewards, values, last_values, successors, blocks, gamma, lambda_, pending = fragment

    def advantage(row):
        if row in pending:
            return 0.0
        following = successors[row]
        after = values[following] if following >= 0 else last_values[row]
        delta = float(rewards[row]) + gamma * float(after) - float(values[row])
        return delta + (gamma * lambda_ * advantage(following) if following >= 0 else 0.0)

    result = gae(rewards, values, successors, last_values, blocks, gamma, lambda_, pending)
    np.testing.assert_allclose(result, [advantage(row) for row in range(len(rewards))], rtol=1e-4, atol=1e-4)
    assert result.dtype == np.float32

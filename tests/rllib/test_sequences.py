"""Sequences of linked rows, compared with a walk along the links."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from ray.rllib.core.columns import Columns

from marl_app.players.modules.actor_critic import LENGTHS, MEMORY
from marl_app.rllib.ppo.experience import Experience
from marl_app.rllib.ppo.sequences import sequences


@st.composite
def linked_rows(draw):
    """Draw rows of several agents in the order of time, linked at random; some last rows are left out."""
    steps = draw(st.lists(st.lists(st.integers(0, 4), unique=True, max_size=5), min_size=1, max_size=12))
    rows, latest, successors, blocks = 0, {}, [], []
    for agents in steps:
        blocks.append((rows, rows + len(agents)))
        for agent in agents:
            if agent in latest and draw(st.integers(0, 3)):  # else its match has ended since the last row
                successors[latest[agent]] = rows
            latest[agent] = rows
            successors.append(-1)
            rows += 1
    chosen = np.ones(rows, np.bool_)
    chosen[[row for row in latest.values() if draw(st.booleans())]] = False
    return np.array(successors, np.int64), blocks, chosen, draw(st.integers(1, 5))


def plain_sequences(successors, chosen, max_seq_len):
    result = []
    for row in sorted(set(range(len(successors))) - set(successors.tolist())):  # first rows of chains
        chain = []
        while row >= 0:
            chain += [int(row)] if chosen[row] else []
            row = successors[row]
        result += [chain[start : start + max_seq_len] for start in range(0, len(chain), max_seq_len)]
    return result


@given(linked_rows())
def test_equals_a_walk_along_the_links(case):
    successors, blocks, chosen, max_seq_len = case
    order, lengths = sequences(successors, blocks, chosen, max_seq_len)
    assert lengths.sum() == len(order) == chosen.sum()
    found = [part.tolist() for part in np.split(order, np.cumsum(lengths)[:-1])] if len(lengths) else []
    assert sorted(found) == sorted(plain_sequences(successors, chosen, max_seq_len))


def test_by_hand():
    # Two agents at each of three steps, rows 0 1 | 2 3 | 4 5; agent 1's match ends after row 3; at most 2 rows.
    successors = np.array([2, 3, 4, -1, -1, -1])
    order, lengths = sequences(successors, [(0, 2), (2, 4), (4, 6)], np.ones(6, np.bool_), 2)
    assert order.tolist() == [0, 2, 1, 3, 4, 5]
    assert lengths.tolist() == [2, 2, 1, 1]


@st.composite
def plays(draw):
    """Draw fragments of steps; per step: which of 2 x 2 agents act, and which matches end after it."""
    step = st.tuples(st.lists(st.booleans(), min_size=4, max_size=4), st.lists(st.booleans(), min_size=2, max_size=2))
    return draw(st.lists(st.lists(step, min_size=1, max_size=6), min_size=1, max_size=4)), draw(st.integers(1, 4))


@given(plays())
def test_rows_with_memories_come_in_order_and_once(case):
    """Every row holds its number as observation and memory; a held row opens the next fragment with its memory."""
    fragments, max_seq_len = case
    experience = Experience(2, 2, network_agents=2, steps=6, max_seq_len=max_seq_len)
    number, chains, current = 0, [], {}  # the rows of each agent, match after match
    trained = []
    for steps in fragments:
        for who, ends in steps:
            matches, agents = np.array(who).reshape(2, 2).nonzero()
            rows = np.arange(number, number + len(matches), dtype=np.float32)
            number += len(matches)
            columns = {Columns.OBS: rows[:, None], MEMORY: rows[:, None] + 0.5, Columns.VF_PREDS: 0 * rows}
            experience.add_decisions(matches, agents, columns)
            for match, agent, row in zip(matches, agents, rows, strict=True):
                if (match, agent) not in current:
                    chains.append([])
                    current[match, agent] = chains[-1]
                current[match, agent].append(int(row))
            over = np.repeat(np.array(ends)[:, None], 2, axis=1)
            experience.close_terminated(over)
            current = {key: chain for key, chain in current.items() if not ends[key[0]]}
        batch = experience.pop_batch(0.9, 0.9)
        if not batch:
            continue
        rows = batch[Columns.OBS][:, 0].astype(int).tolist()
        lengths = batch[LENGTHS]
        assert lengths.sum() == len(rows) and lengths.max() <= max_seq_len
        starts = np.cumsum(lengths) - lengths
        np.testing.assert_array_equal(batch[MEMORY][:, 0], np.array(rows)[starts] + 0.5)
        for start, length in zip(starts, lengths, strict=True):
            sequence = rows[start : start + length]
            assert any(sequence == chain[at : at + length] for chain in chains for at in range(len(chain)))
        trained += rows
    waiting = [chain[-1] for chain in current.values()]
    assert sorted(trained + waiting) == list(range(number))

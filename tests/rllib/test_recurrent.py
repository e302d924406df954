"""Recurrent networks: outputs on training sequences equal those of single steps."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.players.modules.actor_critic import LENGTHS, MEMORY
from marl_app.players.modules.recurrent import Recurrent
from marl_app.players.networks import Network

SMALL = {
    cell: Recurrent(cell=cell, hidden=[6], memory=5, max_seq_len=4, precision="float32") for cell in ("gru", "lstm")
}
SIZES = {"gru": 5, "lstm": 10}  # an LSTM keeps its cell in addition to its hidden state

cells = pytest.mark.parametrize("cell", SMALL)


def build(model, **options):
    torch.manual_seed(0)
    observations = spaces.Box(-1, 1, (3,), np.float32)
    return Network("player", (0,), 0, observations, spaces.Discrete(4), **options).spec(model).build()


def sequences_of(module, lengths, seed=0):
    """Return random sequences as columns of a batch, and the first row of each sequence."""
    generator = torch.Generator().manual_seed(seed)
    rows = sum(lengths)
    batch = {
        "obs": torch.randn(rows, 3, generator=generator),
        "action_mask": torch.rand(rows, 4, generator=generator) < 0.8,
        "agent_id": torch.arange(rows) % 2,
        MEMORY: torch.randn(len(lengths), module.memory_size, generator=generator),
        LENGTHS: torch.tensor(lengths),
    }
    return batch, np.cumsum([0, *lengths[:-1]])


@cells
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=7), seed=st.integers(0, 99))
def test_a_batch_of_sequences_equals_single_steps(cell, lengths, seed):
    module = build(SMALL[cell], num_agents=2)
    assert module.memory_size == SIZES[cell]
    batch, starts = sequences_of(module, lengths, seed)
    with torch.no_grad():
        trained = module.forward_train(batch)
        values = module.compute_values(batch, trained["embeddings"])
        torch.testing.assert_close(module.compute_values(batch), values)
        for start, length, memory in zip(starts, lengths, batch[MEMORY], strict=True):
            memory = memory[None]
            for row in range(start, start + length):
                one = slice(row, row + 1)
                seen, mask, agents = (batch[key][one] for key in ("obs", "action_mask", "agent_id"))
                inputs, value, after = module.act_and_value(seen, mask, agents, memory)
                torch.testing.assert_close(inputs, trained["action_dist_inputs"][one], rtol=1e-5, atol=1e-5)
                torch.testing.assert_close(value, values[one], rtol=1e-5, atol=1e-5)
                alone, also_after = module.act(seen, mask, agents, memory)
                torch.testing.assert_close((alone, also_after), (inputs, after))
                torch.testing.assert_close(module.values(seen, agents, memory), value)
                memory = after


@cells
def test_the_memory_of_each_row_changes_its_outputs(cell):
    module = build(SMALL[cell])
    seen = torch.randn(1, 3).expand(2, 3)
    inputs, after = module.act(seen, None, None, torch.stack([torch.zeros(SIZES[cell]), torch.ones(SIZES[cell])]))
    assert after.shape == (2, SIZES[cell])
    assert (inputs[0] != inputs[1]).any() and (after[0] != after[1]).all()


@cells
def test_gradients_reach_back_through_a_sequence_and_no_further(cell):
    module = build(SMALL[cell])
    batch, _ = sequences_of(module, [2, 3, 1])  # rows 0 1 | 2 3 4 | 5
    batch["obs"].requires_grad_()
    del batch["action_mask"], batch["agent_id"]
    module.forward_train(batch)["action_dist_inputs"][3].sum().backward()
    assert [bool(row.abs().sum() > 0) for row in batch["obs"].grad] == [False, False, True, True, False, False]


@pytest.mark.parametrize("critic_sees_observation", [False, True])
def test_a_centralized_critic_has_no_memory(critic_sees_observation):
    module = build(SMALL["gru"], state_size=7, critic_sees_observation=critic_sees_observation)
    batch, _ = sequences_of(module, [2, 3])
    batch["state"] = torch.randn(5, 7)
    first = module.compute_values(batch)
    assert "embeddings" not in module.forward_train(batch)
    torch.testing.assert_close(module.compute_values({**batch, MEMORY: batch[MEMORY] + 1}), first)
    assert module.value_head.memory is None


def test_wrong_settings_are_refused():
    for key, value in (("cell", "rnn"), ("memory", 0), ("max_seq_len", 0), ("vf_share_layers", False)):
        with pytest.raises(ValueError, match=rf"model\.{key}="):
            dataclasses.replace(SMALL["gru"], **{key: value})

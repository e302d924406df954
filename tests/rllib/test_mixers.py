"""Mixers are monotonic; epsilon-greedy play is a distribution."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from marl_app.players.modules.epsilon_greedy import log_epsilon_greedy
from marl_app.rllib.team_q.mixers import MIXERS


def mixer(name, agents=3, state_size=4, normalize=False):
    sizes = {"agents": agents, "state_size": state_size, "mixing_embed_dim": 8, "hypernet_embed": 16}
    return MIXERS[name](
        observation_space=spaces.Box(-np.inf, np.inf, (state_size,)),
        action_space=spaces.Discrete(1),
        model_config={**sizes, "normalize_state": normalize},
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_team_value_is_monotonic_in_every_agents_value(seed):
    torch.manual_seed(seed)
    values = (torch.randn(200, 3) * 10).requires_grad_()
    state = torch.randn(200, 4) * 3
    total = mixer("qmix").mix(values, state)
    assert total.shape == (200,)
    total.sum().backward()  # a row's total depends on the values of that row alone
    assert (values.grad >= 0).all() and (values.grad > 0).any(dim=0).all()


def test_mixing_weights_depend_on_the_state():
    torch.manual_seed(0)
    values, mix = torch.randn(1, 3).repeat(2, 1), mixer("qmix").mix
    first, second = mix(values, torch.randn(2, 4))
    assert first != second


def test_normalized_states_mix_the_same_in_any_units():
    values, state = torch.randn(200, 3), torch.randn(200, 4)
    totals = []
    for units in (1, 10):
        torch.manual_seed(0)
        qmix = mixer("qmix", normalize=True)
        qmix.learn_statistics(units * state + 5)
        totals.append(qmix.mix(values, units * state + 5))
    torch.testing.assert_close(totals[0], totals[1], rtol=1e-3, atol=1e-3)


def test_vdn_is_the_sum():
    vdn = mixer("vdn")
    assert vdn.mix(torch.tensor([[1.0, 2, 4], [-1, 0, 3]]), None).tolist() == [7, 2]
    assert not list(vdn.parameters())


def test_epsilon_is_spread_over_the_legal_actions():
    values = torch.tensor([[1.0, 5, 3, 4], [1, 5, 3, 4]])
    mask = torch.tensor([[True, True, True, True], [True, False, True, False]])
    probabilities = log_epsilon_greedy(values, mask, torch.tensor(0.2)).exp()
    torch.testing.assert_close(probabilities, torch.tensor([[0.05, 0.85, 0.05, 0.05], [0.1, 0, 0.9, 0]]))
    greedy = log_epsilon_greedy(values, mask, torch.tensor(0.0))
    assert greedy.isfinite().all() and greedy.exp().tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]
    torch.testing.assert_close(log_epsilon_greedy(values, None, torch.tensor(1.0)).exp(), torch.full((2, 4), 0.25))

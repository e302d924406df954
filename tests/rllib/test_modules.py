"""What every network promises: legal actions only, a critic of its own, agent ids that matter."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.rllib.modules.cnn import CNN
from marl_app.rllib.modules.mlp import MLP
from marl_app.rllib.modules.precision import in_bfloat16
from marl_app.rllib.networks import Network

FLAT = spaces.Box(-1, 1, (5,), np.float32)
FOUR = spaces.Discrete(4)
SMALL = MLP(hidden=[6], precision="float32", vf_share_layers=False)


def build(model=SMALL, observations=FLAT, actions=FOUR, num_agents=0):
    return Network("player", (0,), 0, observations, actions, num_agents).spec(model).build()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), st.floats(-1e4, 1e4))
def test_illegal_actions_are_never_sampled(legal, preference):
    # Even where the network's taste for one action exceeds all others by far.
    module = build()
    module.policy_head.linear.bias.data[0] = preference
    mask = torch.tensor([legal] * 200)
    dist = module.get_exploration_action_dist_cls().from_logits(module.act(torch.zeros(200, 5), mask)[0])
    assert mask[torch.arange(200), dist.sample()].all()
    assert torch.isfinite(dist.entropy()).all()


def test_masks_of_multi_discrete_actions_cover_the_parts_side_by_side():
    module = build(actions=spaces.MultiDiscrete([2, 3]))
    mask = torch.tensor([[False, True, True, False, False]] * 50)
    dist = module.get_exploration_action_dist_cls().from_logits(module.act(torch.zeros(50, 5), mask)[0])
    assert (dist.sample() == torch.tensor([1, 0])).all()


@pytest.mark.parametrize("model", [SMALL, CNN(filters=[3], hidden=[5], precision="float32")], ids=["mlp", "cnn"])
@pytest.mark.parametrize("shared", [True, False])
def test_training_and_playing_see_the_same_network(model, shared):
    observations = FLAT if model is SMALL else spaces.Box(0, 1, (4, 3, 2), np.int8)
    module = build(dataclasses.replace(model, vf_share_layers=shared), observations, num_agents=2)
    seen = torch.randint(0, 2, (7, *observations.shape), dtype=torch.int8)
    batch = {"obs": seen, "action_mask": torch.rand(7, 4) < 0.8, "agent_id": torch.arange(7) % 2}
    trained, played = module.forward_train(batch), module.act(seen, batch["action_mask"], batch["agent_id"])[0]
    torch.testing.assert_close(trained["action_dist_inputs"], played)
    torch.testing.assert_close(
        module.compute_values(batch, trained.get("embeddings")), module.values(seen, batch["agent_id"])
    )
    assert ("embeddings" in trained) == shared


def test_a_separate_critic_leaves_the_policy_alone():
    module = build()
    module.values(torch.randn(9, 5)).sum().backward()
    assert all(parameter.grad is None for parameter in module.policy_head.parameters())
    shared = build(dataclasses.replace(SMALL, vf_share_layers=True))
    shared.values(torch.randn(9, 5)).sum().backward()
    assert any(parameter.grad is not None for parameter in shared.policy_head.encoder.parameters())


def test_agents_of_one_network_are_told_apart():
    module = build(num_agents=3)
    seen = torch.randn(1, 5).expand(3, 5)
    assert len(torch.unique(module.values(seen, torch.arange(3)))) == 3
    assert len(torch.unique(module.act(seen, None, torch.arange(3))[0], dim=0)) == 3


def test_continuous_actions_have_a_mean_and_a_learned_spread():
    module = build(actions=spaces.Box(-1, 1, (2,), np.float32))
    module.log_std.data = torch.tensor([0.5, -1.0])
    inputs, _ = module.act(torch.randn(3, 5))
    assert inputs.shape == (3, 4)
    torch.testing.assert_close(inputs[:, 2:], torch.tensor([[0.5, -1.0]] * 3))


def test_observations_of_any_dtype_give_the_same_answer():
    module = build(CNN(filters=[3], hidden=[5]), spaces.Box(0, 1, (4, 3, 2), np.int8))
    board = torch.randint(0, 2, (3, 4, 3, 2))
    torch.testing.assert_close(module.act(board.to(torch.int8))[0], module.act(board.float())[0])


def test_precision():
    assert in_bfloat16("bfloat16", "cpu") and not in_bfloat16("float32", "cpu")
    seen = torch.randn(20, 5)
    exact, rounded = build(), build(dataclasses.replace(SMALL, precision="bfloat16"))
    rounded.load_state_dict(exact.state_dict())
    (features, _), (expected, _) = rounded.policy_head.features(seen), exact.policy_head.features(seen)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, rtol=3e-2, atol=3e-2)
    assert (features != expected).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"model=cnn needs observations \[height, width, planes\]"):
        build(CNN(filters=[3], hidden=[5]))
    with pytest.raises(ValueError, match="must be Discrete, MultiDiscrete or Box"):
        build(actions=spaces.MultiBinary(3))
    for model, key in ((CNN, "kernel"), (CNN, "filters"), (MLP, "hidden"), (MLP, "activation"), (MLP, "precision")):
        wrong = {"kernel": 2, "filters": [], "hidden": [0], "activation": "tan", "precision": "half"}[key]
        with pytest.raises(ValueError, match=f"model.{key}="):
            model(**{key: wrong})

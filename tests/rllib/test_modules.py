"""Networks: legal actions only, separate and centralized critics, agent ids, precision."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.players.modules.actor_critic import Tanh
from marl_app.players.modules.cnn import CNN
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.precision import in_bfloat16
from marl_app.players.networks import Network

FLAT = spaces.Box(-1, 1, (5,), np.float32)
FOUR = spaces.Discrete(4)
SMALL = MLP(hidden=[6], precision="float32", vf_share_layers=False)


def build(model=SMALL, observations=FLAT, actions=FOUR, num_agents=0, **critic):
    return Network("player", (0,), 0, observations, actions, num_agents, **critic).spec(model).build()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), st.floats(-1e4, 1e4))
def test_illegal_actions_are_never_sampled(legal, preference):
    # Even if the logit of an illegal action is by far the largest.
    module = build()
    module.policy_head.linear.bias.data[0] = preference
    mask = torch.tensor([legal] * 200)
    dist = module.get_exploration_action_dist_cls().from_logits(module.act(torch.zeros(200, 5), mask)[0])
    assert mask[torch.arange(200), dist.sample()].all()
    assert torch.isfinite(dist.entropy()).all()


def test_a_multi_discrete_mask_is_the_concatenation_of_its_parts():
    module = build(actions=spaces.MultiDiscrete([2, 3]))
    mask = torch.tensor([[False, True, True, False, False]] * 50)
    dist = module.get_exploration_action_dist_cls().from_logits(module.act(torch.zeros(50, 5), mask)[0])
    assert (dist.sample() == torch.tensor([1, 0])).all()


@pytest.mark.parametrize("model", [SMALL, CNN(filters=[3], hidden=[5], precision="float32")], ids=["mlp", "cnn"])
@pytest.mark.parametrize("shared", [True, False])
def test_training_and_acting_use_the_same_network(model, shared):
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


def test_agent_ids_distinguish_agents_of_one_network():
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


def test_observations_of_any_dtype_give_the_same_outputs():
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


def test_wrong_spaces_and_settings_are_refused():
    with pytest.raises(ValueError, match=r"model=cnn needs observations \[height, width, planes\]"):
        build(CNN(filters=[3], hidden=[5]))
    with pytest.raises(ValueError, match="must be Discrete, MultiDiscrete or Box"):
        build(actions=spaces.MultiBinary(3))
    for model, key in ((CNN, "kernel"), (CNN, "filters"), (MLP, "hidden"), (MLP, "activation"), (MLP, "precision")):
        wrong = {"kernel": 2, "filters": [], "hidden": [0], "activation": "tan", "precision": "half"}[key]
        with pytest.raises(ValueError, match=f"model.{key}="):
            model(**{key: wrong})


CRITICS = {"local": {}, "state": {"state_size": 7}, "agent_state": {"state_size": 7, "critic_sees_observation": True}}


@pytest.mark.parametrize("critic", CRITICS)
def test_the_inputs_of_a_critic(critic):
    module = build(num_agents=2, **CRITICS[critic])
    seen, state, agents = torch.randn(9, 5), torch.randn(9, 7), torch.arange(9) % 2
    values = module.values(seen, agents, None, state)

    def differ(*changed):
        # In any row: the six ReLUs may be off in some.
        return bool((module.values(*changed) != values).any())

    assert differ(seen + 1, agents, None, state) == (critic != "state")
    assert differ(seen, agents, None, state + 1) == (critic != "local")
    assert differ(seen, 1 - agents, None, state)


@pytest.mark.parametrize("model", [SMALL, CNN(filters=[3], hidden=[5], precision="float32")], ids=["mlp", "cnn"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("normalized", [True, False])
def test_act_and_value_equals_act_and_values(model, shared, critic, normalized):
    observations = FLAT if model is SMALL else spaces.Box(0, 1, (4, 3, 2), np.int8)
    model = dataclasses.replace(model, vf_share_layers=shared, normalize_observations=normalized)
    module = build(model, observations, num_agents=2, **CRITICS[critic])
    rows = torch.randint(0, 2, (7, *observations.shape), dtype=torch.int8)
    batch = {
        "obs": rows, "action_mask": torch.rand(7, 4) < 0.8, "agent_id": torch.arange(7) % 2, "state": torch.randn(7, 7)
    }  # fmt: skip
    # Statistics and units other than the initial ones, so that an omission of either shows.
    module.learn_statistics({**batch, "obs": rows * 3 + 1, "state": batch["state"] * 5})
    module.value_head.update(torch.randn(50) * 30 + 100)
    played = module.act_and_value(rows, batch["action_mask"], batch["agent_id"], None, batch["state"])
    torch.testing.assert_close(played[0], module.act(rows, batch["action_mask"], batch["agent_id"])[0])
    torch.testing.assert_close(played[1], module.values(rows, batch["agent_id"], None, batch["state"]))
    assert played[2] is None
    trained = module.forward_train(batch)
    torch.testing.assert_close(trained["action_dist_inputs"], played[0])
    normalized_values = module.compute_values(batch, trained.get("embeddings"))
    torch.testing.assert_close(normalized_values * module.value_head.unit + module.value_head.mean, played[1])


@pytest.mark.parametrize("critic", ["state", "agent_state"])
def test_a_centralized_critic_leaves_the_policy_alone(critic):
    module = build(dataclasses.replace(SMALL, vf_share_layers=True), **CRITICS[critic])
    module.compute_values({"obs": torch.randn(9, 5), "state": torch.randn(9, 7)}).sum().backward()
    assert all(parameter.grad is None for parameter in module.policy_head.parameters())
    assert all(parameter.grad is not None for parameter in module.value_head.parameters())


def test_each_encoder_normalizes_its_inputs():
    model = dataclasses.replace(SMALL, normalize_observations=True)
    module = build(model, **CRITICS["agent_state"])
    batch = {"obs": torch.randn(400, 5) * 3 + 2, "state": torch.randn(400, 7) * 50}
    module.learn_statistics(batch)
    seen = torch.cat([batch["state"], batch["obs"]], 1)  # the critic's input: first the state, then the observation
    torch.testing.assert_close(module.policy_head.encoder[0].mean, batch["obs"].mean(0))
    torch.testing.assert_close(module.value_head.encoder[0].mean, seen.mean(0))
    # With new statistics, inputs in other units give the same outputs.
    module.policy_head.encoder[0].count.zero_()
    before, _ = module.act(batch["obs"])
    module.learn_statistics({**batch, "obs": batch["obs"] * 10 - 7})
    torch.testing.assert_close(module.act(batch["obs"] * 10 - 7)[0], before, rtol=1e-3, atol=1e-3)
    plain = build()
    plain.learn_statistics(batch)
    assert not any("encoder.0" in name for name in plain.state_dict())


def test_without_orthogonal_init_weights_are_torchs_defaults():
    torch.manual_seed(5)
    module = build(dataclasses.replace(SMALL, orthogonal_init=False))
    torch.manual_seed(5)
    # Random numbers are drawn in this order: the policy's encoder and last layer, then the critic's.
    layers = [torch.nn.Linear(5, 6), torch.nn.Linear(6, 4), torch.nn.Linear(5, 6), torch.nn.Linear(6, 1)]
    linears = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    for mine, default in zip(linears, layers, strict=True):
        torch.testing.assert_close((mine.weight, mine.bias), (default.weight, default.bias))
    weight = build().policy_head.linear.weight
    torch.testing.assert_close(weight @ weight.T, 1e-4 * torch.eye(4))  # gain 0.01, squared


def test_tanh_and_its_gradient_are_those_of_torch():
    inputs = torch.cat([torch.linspace(-12, 12, 2001), torch.tensor([-1e30, -1e-8, 0.0, 1e-8, 1e30])])
    ours, theirs = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    Tanh()(ours).sum().backward()
    torch.tanh(theirs).sum().backward()
    torch.testing.assert_close(Tanh()(inputs), torch.tanh(inputs), rtol=0, atol=5e-7)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=5e-7)
    assert Tanh()(inputs.bfloat16()).equal(torch.tanh(inputs.bfloat16()))

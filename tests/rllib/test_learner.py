"""The learner equals RLlib's PPO in loss, gradients and steps; only its minibatches are drawn differently."""

import copy
import logging
import math
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.torch_utils import clip_gradients as rllibs_clip_gradients

from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.modules.actor_critic import LENGTHS, MEMORY
from marl_app.players.modules.mlp import MLP
from marl_app.rllib.gradients import clip_gradients
from marl_app.rllib.ppo.learner import MinibatchPPOLearner
from marl_app.rllib.ppo.minibatches import minibatches, standardized, with_largest_advantages
from marl_app.store.disk import DiskStore
from tests.rllib.games import Relay
from tests.rllib.runners import collect, make_runner, random_weights

SETTINGS = {
    "plain": {},
    "clipped": {"clip_param": 0.05, "vf_clip_param": 0.5, "grad_clip": 0.1, "grad_clip_by": "global_norm"},
    "kl": {"use_kl_loss": True, "kl_coeff": 0.5, "kl_target": 1e-5, "entropy_coeff": 0.1, "vf_loss_coeff": 0.3},
}


@pytest.fixture(scope="module", params=[False, True], ids=["two encoders", "shared encoder"])
def played(request, tmp_path_factory):
    """A runner, its weights, and a fragment of tic-tac-toe, in which legal moves differ from row to row."""
    model = MLP(hidden=[8], activation="tanh", vf_share_layers=request.param, precision="float32")
    runner = make_runner(TicTacToe, DiskStore(tmp_path_factory.mktemp("store")), matches=20, steps=6, model=model)
    weights = random_weights(runner, 1)
    if request.param:  # the shared encoder has two names
        for name in list(weights):
            weights[name] = weights[name.replace("value_head.encoder", "policy_head.encoder")]
    columns = collect(runner, weights).batches["player"]
    advantages = columns["advantages"]
    columns["advantages"] = (advantages - advantages.mean()) / advantages.std()
    return runner, weights, columns


def config_of(played, **training):
    config = played[0].config.copy(copy_frozen=False)
    rllib = {key: value for key, value in training.items() if hasattr(config, key)}
    config.training(lr=0.01, **rllib)
    training = {"normalize_advantages": False, **training}  # `played` has standardized them, as RLlib does
    run_settings = copy.deepcopy(config.spec.settings)
    for key in training.keys() - rllib.keys():
        assert hasattr(run_settings.algorithm, key), key
        setattr(run_settings.algorithm, key, training[key])
    config.spec = replace(config.spec, settings=run_settings)
    return config


def make_group(played, learner_class=MinibatchPPOLearner, **training):
    runner, weights, _ = played
    config = config_of(played, learner_class=learner_class, **training)
    torch.manual_seed(0)
    group = config.build_learner_group(spaces=runner.get_spaces())
    modules = {"main": {name.partition("/")[2]: value for name, value in weights.items()}}
    group.set_state({"learner": {"rl_module": modules}})
    return group


def update(group, columns, **how):
    batch = MultiAgentBatch({"main": SampleBatch({name: values.copy() for name, values in columns.items()})}, 120)
    how = {"num_epochs": 1, "minibatch_size": None, "shuffle_batch_per_epoch": False, **how}
    [results] = group.update(batch=batch, timesteps={"num_env_steps_sampled_lifetime": 120}, **how)
    return {name: float(value.peek()) for name, value in results["main"].items()}


def weights_of(group):
    return group.get_state(components="learner/rl_module")["learner"]["rl_module"]["main"]


def adam(group):
    """Return Adam's state; the first moment determines the gradient, the weights after a first step only its sign."""
    [optimizer] = group._learner._named_optimizers.values()
    states = optimizer.state_dict()["state"].values()
    return [state[key].numpy() for state in states for key in ("exp_avg", "exp_avg_sq", "step")]


@pytest.mark.parametrize("training", SETTINGS.values(), ids=SETTINGS)
def test_updates_equal_those_of_rllibs_own_learner(played, training):
    stock, ours = make_group(played, PPOTorchLearner, **training), make_group(played, **training)
    for _ in range(3):  # from the second update on, the ratio to the old policy is not 1, so clipping and KL matter
        of_stock, of_ours = update(stock, played[2]), update(ours, played[2])
        for mine, theirs in zip(adam(ours), adam(stock), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-8)
        for name, value in weights_of(stock).items():
            np.testing.assert_allclose(weights_of(ours)[name], value, rtol=1e-5, atol=5e-7, err_msg=name)
        names = {name: name for name in ("policy_loss", "total_loss", "entropy", "curr_kl_coeff", "curr_entropy_coeff")}
        names |= {"vf_loss_unclipped": "vf_loss", "vf_explained_var": "explained_variance"}
        names |= {"mean_kl_loss": "mean_kl_loss"} if config_of(played, **training).use_kl_loss else {}
        for theirs, mine in names.items():
            assert of_ours[mine] == pytest.approx(of_stock[theirs], rel=1e-4, abs=1e-6), theirs
    if training.get("use_kl_loss"):
        coefficients = [float(group._learner.curr_kl_coeffs_per_module["main"]) for group in (stock, ours)]
        assert coefficients[0] == coefficients[1] != 0.5


def test_the_logged_kl_is_that_of_the_last_minibatch_before_its_step(played):
    group, twice = make_group(played), make_group(played)
    assert update(group, played[2])["approx_kl"] == pytest.approx(0, abs=1e-7)  # before the first step
    reported = update(twice, played[2], num_epochs=2)["approx_kl"]
    columns = {name: torch.from_numpy(values) for name, values in played[2].items()}
    module = group._learner.module["main"]
    with torch.no_grad():
        inputs, _ = module.act(columns["obs"], columns["action_mask"])
        ratio = torch.exp(
            torch.distributions.Categorical(logits=inputs).log_prob(columns["actions"]) - columns["action_logp"]
        )
    assert reported == pytest.approx(float((ratio - 1 - ratio.log()).mean()), rel=1e-4) and reported > 1e-4


def test_steps_per_update(played):
    columns = played[2]
    rows = len(columns["obs"])
    group = make_group(played)
    update(group, columns, num_epochs=3, minibatch_size=rows // 4, shuffle_batch_per_epoch=True)
    assert adam(group)[2] == 3 * 4


def test_only_the_largest_advantages_are_trained_on():
    advantages = torch.tensor([0.1, -3.0, 0.5, 2.0, -0.2, 0.0])
    columns = {"obs": torch.arange(6)[:, None], "advantages": advantages}
    kept = with_largest_advantages(columns, 0.5)
    assert kept["obs"].ravel().tolist() == [1, 2, 3] and kept["advantages"].tolist() == [-3.0, 0.5, 2.0]
    assert (
        len(with_largest_advantages(columns, 0.01)["obs"]) == 1 and len(with_largest_advantages(columns, 1)["obs"]) == 6
    )
    # Sequences stay whole: their means are 1.55, 0.9 and 0.
    lengths, memory = torch.tensor([2, 3, 1]), torch.arange(3)[:, None]
    kept = with_largest_advantages({**columns, LENGTHS: lengths, MEMORY: memory}, 0.6)
    assert kept["obs"].ravel().tolist() == [0, 1, 2, 3, 4]
    assert kept[LENGTHS].tolist() == [2, 3] and kept[MEMORY].ravel().tolist() == [0, 1]


def test_rows_that_are_left_out_count_in_the_statistics(played):
    # Value targets of all rows enter the units of the value head; the gradient is that of the kept rows.
    group, reference = (make_group(played, normalize_values=True, advantage_filter=share) for share in (0.25, 1.0))
    columns = dict(played[2])
    figures = update(group, columns)
    update(reference, columns)
    units = [weights_of(each)["value_head.unit"] for each in (group, reference)]
    assert units[0] == units[1] != 1
    rows = len(columns["obs"])
    kept = np.sort(np.abs(columns["advantages"]).argsort()[-math.ceil(rows / 4) :])
    assert 0 < len(kept) < rows
    alone = make_group(played, normalize_values=False)
    part = update(alone, {name: values[kept] for name, values in columns.items()})
    assert figures["entropy"] == pytest.approx(part["entropy"], rel=1e-5)
    assert figures["policy_loss"] == pytest.approx(part["policy_loss"], rel=1e-4, abs=1e-6)


def numbered(rows):
    return SampleBatch({"obs": torch.arange(rows), "advantages": torch.arange(rows) * 10})


@pytest.mark.parametrize(
    ("rows", "size", "count"),
    [
        (100, 25, 4),
        (100, 26, 4),  # 3.8 minibatches
        (100, 30, 3),  # 3.3
        (100, None, 1),
        (10, 64, 1),  # fewer rows than a minibatch
        (1, 1, 1),
        (97, 10, 10),
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_once_per_epoch_in_near_equal_minibatches(rows, size, count, shuffle):
    found = list(minibatches(numbered(rows), 3, size, shuffle))
    assert len(found) == 3 * count
    sizes = [len(batch["obs"]) for batch in found]
    assert max(sizes) - min(sizes) <= 1
    epochs = [found[count * epoch : count * (epoch + 1)] for epoch in range(3)]
    orders = []
    for epoch in epochs:
        order = torch.cat([batch["obs"] for batch in epoch])
        assert Counter(order.tolist()) == Counter(range(rows))
        assert torch.equal(torch.cat([batch["advantages"] for batch in epoch]), order * 10)  # rows stay whole
        orders.append(order.tolist())
    if not shuffle:
        assert all(order == list(range(rows)) for order in orders)
    elif rows > 50:
        assert orders[0] != orders[1] != orders[2]


def test_advantages_are_standardized():
    result = standardized(torch.tensor([1.0, 2.0, 3.0, 6.0, 0.0]), 4)
    # of the first four: mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5
    np.testing.assert_allclose(result, np.array([-2, -1, 0, 3, -3]) / np.sqrt(3.5), rtol=1e-6)
    assert result.dtype == torch.float32
    assert not standardized(torch.full((5,), 7.0), 5).any()  # no division by zero


def columns_as_tensors(batch):
    return {name: torch.from_numpy(values.copy()) for name, values in batch.items()}


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """Like `played`, for a game with MultiDiscrete actions and masks (scouts) and Box actions (a tank)."""
    store = DiskStore(tmp_path_factory.mktemp("store"))
    runner = make_runner(Relay, store, matches=20, steps=6, use_kl_loss=True)
    return runner, collect(runner, random_weights(runner, 1)).batches


LOSSES = {
    "plain": {"use_kl_loss": False, "vf_clip_param": float("inf")},
    "clipped": {"use_kl_loss": False, "vf_clip_param": 0.5, "clip_param": 0.05, "entropy_coeff": 0.02},
    "kl": {"use_kl_loss": True, "kl_coeff": 0.7, "vf_clip_param": float("inf"), "vf_loss_coeff": 0.3},
    "kl and clipped": {"use_kl_loss": True, "kl_coeff": 0.7, "vf_clip_param": 0.5, "entropy_coeff": 0.1},
}


@pytest.mark.parametrize("training", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("network", ["discrete", "scout", "tank"])
def test_the_loss_and_its_gradients_are_rllibs(played, relay, network, training):
    """In three action spaces, for a policy that has changed since it played."""
    if network == "discrete":
        runner, module_id, batch = played[0], "main", played[2]
    else:
        runner, module_id, batch = relay[0], f"main.{network}", relay[1][network]
    config = runner.config.copy(copy_frozen=False)
    config.training(learner_class=MinibatchPPOLearner, **training)
    learner = config.build_learner_group(spaces=runner.get_spaces())._learner
    module = learner.module[module_id]
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    columns = columns_as_tensors(batch)
    results = []
    for compute in (learner.compute_loss_for_module, partial(PPOTorchLearner.compute_loss_for_module, learner)):
        module.zero_grad()
        loss = compute(module_id=module_id, config=config, batch=columns, fwd_out=module.forward_train(columns))
        loss.backward()
        results.append((loss.detach(), [parameter.grad.clone() for parameter in module.parameters()]))
    (ours, our_gradients), (theirs, their_gradients) = results
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(our_gradients, their_gradients, rtol=1e-4, atol=1e-5)
    assert sum(float(gradient.norm()) for gradient in our_gradients) > 0.01


def test_hubers_value_loss_by_hand(played):
    # With delta 2: half the square up to an error of 2, beyond it 2 * (error - 1).
    group = make_group(played, huber_delta=2.0, vf_clip_param=float("inf"))
    learner = group._learner
    columns = columns_as_tensors(played[2])
    columns = {name: values[:4] for name, values in columns.items()}
    module = learner.module["main"]
    with torch.no_grad():
        columns["value_targets"] = module.compute_values(columns) + torch.tensor([0.5, -1.0, 3.0, -10.0])
        config = learner.config.get_config_for_module("main")
        learner.compute_loss_for_module(
            module_id="main", config=config, batch=columns, fwd_out=module.forward_train(columns)
        )
    by_hand = (0.125 + 0.5 + 2 * (3 - 1) + 2 * (10 - 1)) / 4
    assert float(learner._terms["vf_loss"]) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("by", ["value", "norm", "global_norm"])
@pytest.mark.parametrize("bound", [1e-3, 0.5, 3.0, 1e3, None])
def test_gradients_are_clipped_as_by_rllib(by, bound):
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(shape, generator=generator) for shape in ((3, 4), (4,), (), (2, 2))]
    gradients[1].zero_()
    parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    parameters.append(torch.nn.Parameter(torch.zeros(2)))  # without a gradient
    norm = clip_gradients(parameters, bound, by)
    theirs = {str(index): gradient.clone() for index, gradient in enumerate(gradients)}
    rllibs_clip_gradients(theirs, grad_clip=bound, grad_clip_by=by)
    for parameter, expected in zip(parameters, theirs.values(), strict=False):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-7)
    assert float(norm) == pytest.approx(float(sum(gradient.square().sum() for gradient in gradients)) ** 0.5)
    assert parameters[-1].grad is None


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("grad_clip", [None, 0.5])
def test_a_gradient_that_is_not_finite_makes_no_step(played, caplog, poison, grad_clip):
    group = make_group(played, grad_clip=grad_clip, use_kl_loss=False)
    update(group, played[2])
    before, moments = copy.deepcopy(weights_of(group)), copy.deepcopy(adam(group))
    columns = {**played[2], "advantages": played[2]["advantages"].copy()}
    columns["advantages"][3] = poison
    with caplog.at_level(logging.WARNING, logger="marl_app.rllib.gradients"):
        update(group, columns)
    assert "the gradient of main is not finite" in caplog.text
    for name, value in weights_of(group).items():
        np.testing.assert_array_equal(value, before[name])
    for value, expected in zip(adam(group), moments, strict=True):
        np.testing.assert_array_equal(value, expected)
    update(group, played[2])  # the next finite gradient makes a step
    assert any(not np.array_equal(value, before[name]) for name, value in weights_of(group).items())


def test_normalized_values_are_learned_from_normalized_targets(played):
    """With PopArt the units follow the targets before the first step; without it they are those of the rewards."""
    columns = {**played[2], "value_targets": played[2]["value_targets"] * 50 + 300}
    for normalize in (True, False):
        group = make_group(played, normalize_values=normalize, vf_clip_param=float("inf"))
        loss = update(group, columns)["vf_loss"]
        head = group._learner.module["main"].value_head
        if normalize:
            targets = columns["value_targets"]
            assert (float(head.mean), float(head.unit)) == pytest.approx((targets.mean(), targets.std()), rel=1e-3)
            # Values of about 0 are 300 / deviation units away from the mean.
            assert loss == pytest.approx((targets.mean() / targets.std()) ** 2 + 1, rel=0.1)
        else:
            assert (float(head.mean), float(head.unit)) == (0, 1)
            assert loss > 300**2 * 0.9


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=30),
    st.one_of(st.none(), st.integers(1, 40)),
    st.booleans(),
)
def test_sequences_stay_whole_and_come_once_per_epoch(lengths, size, shuffle):
    rows, count = sum(lengths), len(lengths)
    of_row = np.repeat(np.arange(count), lengths)
    batch = {
        "obs": torch.arange(rows),
        "advantages": torch.arange(rows) * 10,
        LENGTHS: torch.tensor(lengths),
        MEMORY: torch.arange(count)[:, None] * 1.0,
    }
    found = list(minibatches(batch, 2, size, shuffle))
    assert len(found) % 2 == 0
    for epoch in (found[: len(found) // 2], found[len(found) // 2 :]):
        seen = []
        for columns in epoch:
            assert len(columns["obs"]) == int(columns[LENGTHS].sum())
            assert torch.equal(columns["advantages"], columns["obs"] * 10)
            starts = columns[LENGTHS].cumsum(0) - columns[LENGTHS]
            for start, length, memory in zip(starts, columns[LENGTHS], columns[MEMORY][:, 0], strict=True):
                sequence = columns["obs"][start : start + length]
                which = int(memory)
                assert sequence.tolist() == np.flatnonzero(of_row == which).tolist()
                seen.append(which)
        assert sorted(seen) == list(range(count))
        if not shuffle:
            assert seen == list(range(count))

"""The learner is RLlib's PPO: same loss, same gradients, same steps; only the minibatches are drawn otherwise."""

from collections import Counter

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from envs.tic_tac_toe import TicTacToe
from marl_app.rllib.algorithm import standardized
from marl_app.rllib.learner import MinibatchPPOLearner, minibatches
from marl_app.rllib.modules.mlp import MLP
from marl_app.store.disk import DiskStore
from tests.rllib.runners import collect, make_runner, random_weights

SETTINGS = {
    "plain": {},
    "clipped": {"clip_param": 0.05, "vf_clip_param": 0.5, "grad_clip": 0.1, "grad_clip_by": "global_norm"},
    "kl": {"use_kl_loss": True, "kl_coeff": 0.5, "kl_target": 1e-5, "entropy_coeff": 0.1, "vf_loss_coeff": 0.3},
}


@pytest.fixture(scope="module", params=[False, True], ids=["two encoders", "shared encoder"])
def played(request, tmp_path_factory):
    """A runner, its weights, and a fragment of tic-tac-toe: legal moves differ from row to row."""
    model = MLP(hidden=[8], activation="tanh", vf_share_layers=request.param, precision="float32")
    runner = make_runner(TicTacToe, DiskStore(tmp_path_factory.mktemp("store")), matches=20, steps=6, model=model)
    weights = random_weights(runner, 1)
    if request.param:  # one encoder under two names
        for name in list(weights):
            weights[name] = weights[name.replace("value_head.encoder", "policy_head.encoder")]
    columns = collect(runner, weights).batches["player"]
    columns["advantages"] = standardized(columns["advantages"])
    return runner, weights, columns


def config_of(played, **training):
    config = played[0].config.copy(copy_frozen=False)
    config.training(lr=0.01, **training)
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
    """Adam's moments: the first one tells the gradient, which the first step of Adam alone (its sign) does not."""
    [optimizer] = group._learner._named_optimizers.values()
    states = optimizer.state_dict()["state"].values()
    return [state[key].numpy() for state in states for key in ("exp_avg", "exp_avg_sq", "step")]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_updates_equal_those_of_rllibs_own_learner(played, settings):
    stock, ours = make_group(played, PPOTorchLearner, **settings), make_group(played, **settings)
    for _ in range(3):  # from the second on the ratio to the old policy is not 1, and clipping and KL matter
        of_stock, of_ours = update(stock, played[2]), update(ours, played[2])
        for mine, theirs in zip(adam(ours), adam(stock), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-8)
        for name, value in weights_of(stock).items():
            np.testing.assert_allclose(weights_of(ours)[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
        names = {name: name for name in ("policy_loss", "total_loss", "entropy", "curr_kl_coeff", "curr_entropy_coeff")}
        names |= {"vf_loss_unclipped": "vf_loss", "vf_explained_var": "explained_variance"}
        names |= {"mean_kl_loss": "mean_kl_loss"} if config_of(played, **settings).use_kl_loss else {}
        for theirs, mine in names.items():
            assert of_ours[mine] == pytest.approx(of_stock[theirs], rel=1e-4, abs=1e-6), theirs
    if settings.get("use_kl_loss"):
        coefficients = [float(group._learner.curr_kl_coeffs_per_module["main"]) for group in (stock, ours)]
        assert coefficients[0] == coefficients[1] != 0.5


def test_the_logged_kl_is_that_of_the_last_minibatch_before_its_step(played):
    group, twice = make_group(played), make_group(played)
    assert update(group, played[2])["approx_kl"] == pytest.approx(0, abs=1e-7)  # nothing has moved yet
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
    found = list(minibatches("main", numbered(rows), 3, size, shuffle))
    assert len(found) == 3 * count
    sizes = [len(batch["main"]["obs"]) for batch in found]
    assert [batch.count for batch in found] == sizes
    assert max(sizes) - min(sizes) <= 1
    epochs = [found[count * epoch : count * (epoch + 1)] for epoch in range(3)]
    orders = []
    for epoch in epochs:
        order = torch.cat([batch["main"]["obs"] for batch in epoch])
        assert Counter(order.tolist()) == Counter(range(rows))
        assert torch.equal(torch.cat([batch["main"]["advantages"] for batch in epoch]), order * 10)  # rows stay rows
        orders.append(order.tolist())
    if not shuffle:
        assert all(order == list(range(rows)) for order in orders)
    elif rows > 50:
        assert orders[0] != orders[1] != orders[2]


def test_advantages_are_standardized():
    result = standardized(np.array([1, 2, 3, 6], np.float32))
    # mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5
    np.testing.assert_allclose(result, np.array([-2, -1, 0, 3]) / np.sqrt(3.5), rtol=1e-6)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(standardized(np.full(5, 7, np.float32)), np.zeros(5))  # no division by zero

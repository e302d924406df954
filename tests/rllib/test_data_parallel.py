"""Several learners that share each minibatch learn what one learns, but for rounding, and stay alike to the bit."""

import numpy as np
import pytest
import torch

from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

# All that is a matter of the whole batch, minibatches that do not divide it, and more than one epoch.
SETTINGS = (
    "algorithm.normalize_values=true",
    "algorithm.use_kl_loss=true",
    "algorithm.num_epochs=2",
    "algorithm.grad_clip=0.5",
)


def shuffle_alike(algorithm):
    """Give all learners the same random numbers before each update (the driver has used some of its own to play)."""
    group, update = algorithm.learner_group, algorithm.learner_group.update

    def seeded_update(**arguments):
        group.foreach_learner(lambda learner, **kwargs: torch.manual_seed(5) and None)
        return update(**arguments)

    group.update = seeded_update


def everything(learner, **kwargs):
    """Weights, and what a checkpoint holds of optimizers and KL weights."""
    [module] = [learner.module[id] for id in learner.module.keys()]  # noqa: SIM118
    [optimizer] = learner._named_optimizers.values()
    states = sorted(optimizer.state_dict()["state"].items())
    moments = [state[key] for _, state in states for key in ("exp_avg", "exp_avg_sq")]
    arrays = [*module.state_dict().values(), *moments, *learner.curr_kl_coeffs_per_module.values()]
    return [array.detach().numpy().copy() for array in arrays]


def held(algorithm):
    return [result.get() for result in algorithm.learner_group.foreach_learner(everything)]


def test_two_learn_what_one_does(tmp_path):
    # With a recurrent network: rows come in sequences of unequal length, so the parts of a minibatch are unequal too.
    options = ("env=tic_tac_toe", "model=gru", "model.hidden=[16]", f"store.path={tmp_path}/store", *SETTINGS)
    sizes = "algorithm.train_batch_size_per_learner={}", "algorithm.minibatch_size={}"
    alone = [size.format(rows) for size, rows in zip(sizes, (1024, 200), strict=True)]
    both = [size.format(rows) for size, rows in zip(sizes, (512, 100), strict=True)]
    with (
        running(tmp_path / "one", *options, *alone) as one,
        running(tmp_path / "two", *options, *both, "runtime.num_learners=2") as two,
    ):
        first, second = held(two)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))  # they begin alike
        one.weights.write("main", two.weights.read("main"))
        one._weights_changed("main")
        for algorithm in (one, two):
            shuffle_alike(algorithm)
            algorithm.train()  # on the same batch: two epochs of four minibatches
        first, second = held(two)
        [alone] = held(one)
        assert one.counters.trained_agent_steps == two.counters.trained_agent_steps
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        for ours, its in zip(first, alone, strict=True):
            np.testing.assert_allclose(ours, its, rtol=1e-3, atol=1e-4)
        for figure in ("learner/policy_loss", "learner/entropy", "learner/grad_norm", "learner/mean_kl"):
            assert two.report[figure] == pytest.approx(one.report[figure], rel=1e-3, abs=1e-4), figure
        # A checkpoint of two is one of one.
        save_checkpoint(two, tmp_path / "checkpoints", keep=1)
        load_checkpoint(one, latest_checkpoint(tmp_path / "checkpoints"))
        for a, b in zip(held(one)[0], first, strict=True):
            np.testing.assert_array_equal(a, b)

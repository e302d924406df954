"""Data-parallel learners: equal to a single learner up to rounding, and to each other bit by bit."""

import numpy as np
import pytest
import torch

from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

# All settings that concern the whole batch; minibatches that do not divide it; more than one epoch.
SETTINGS = (
    "algorithm.normalize_values=true",
    "algorithm.use_kl_loss=true",
    "algorithm.num_epochs=2",
    "algorithm.grad_clip=0.5",
)


def shuffle_equally(algorithm):
    """Seed all learners equally before each update (the driver has drawn random numbers to play)."""
    group, update = algorithm.learner_group, algorithm.learner_group.update

    def seeded_update(**arguments):
        group.foreach_learner(lambda learner, **kwargs: torch.manual_seed(5) and None)
        return update(**arguments)

    group.update = seeded_update


def learner_arrays(learner, **kwargs):
    """Return the learner's weights, Adam moments and KL coefficients."""
    [module] = [learner.module[id] for id in learner.module.keys()]  # noqa: SIM118
    [optimizer] = learner._named_optimizers.values()
    states = sorted(optimizer.state_dict()["state"].items())
    moments = [state[key] for _, state in states for key in ("exp_avg", "exp_avg_sq")]
    arrays = [*module.state_dict().values(), *moments, *learner.curr_kl_coeffs_per_module.values()]
    return [array.detach().numpy().copy() for array in arrays]


def all_arrays(algorithm):
    return [result.get() for result in algorithm.learner_group.foreach_learner(learner_arrays)]


def test_two_learners_equal_a_single_learner(tmp_path):
    # A recurrent network has sequences of unequal length, so the two parts of a minibatch are unequal as well.
    options = ("env=tic_tac_toe", "model=gru", "model.hidden=[16]", f"store.path={tmp_path}/store", *SETTINGS)
    sizes = "algorithm.train_batch_size_per_learner={}", "algorithm.minibatch_size={}"
    alone = [size.format(rows) for size, rows in zip(sizes, (1024, 200), strict=True)]
    both = [size.format(rows) for size, rows in zip(sizes, (512, 100), strict=True)]
    with (
        running(tmp_path / "one", *options, *alone) as one,
        running(tmp_path / "two", *options, *both, "runtime.num_learners=2") as two,
    ):
        first, second = all_arrays(two)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))  # equal initial weights
        one.weights.write("main", two.weights.read("main"))
        one.weights.broadcast("main")
        for algorithm in (one, two):
            shuffle_equally(algorithm)
            algorithm.train()  # on the same batch: two epochs of four minibatches
        first, second = all_arrays(two)
        [alone] = all_arrays(one)
        assert one.counters.trained_agent_steps == two.counters.trained_agent_steps
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        for ours, its in zip(first, alone, strict=True):
            np.testing.assert_allclose(ours, its, rtol=1e-3, atol=1e-4)
        for figure in ("learner/policy_loss", "learner/entropy", "learner/grad_norm", "learner/mean_kl"):
            assert two.report[figure] == pytest.approx(one.report[figure], rel=1e-3, abs=1e-4), figure
        # A checkpoint of two learners is loaded by a single learner.
        save_checkpoint(two, tmp_path / "checkpoints", keep=1)
        load_checkpoint(one, latest_checkpoint(tmp_path / "checkpoints"))
        for a, b in zip(all_arrays(one)[0], first, strict=True):
            np.testing.assert_array_equal(a, b)

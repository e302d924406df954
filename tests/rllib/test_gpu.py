"""Learner on the GPU, forward passes of env runners on the CPU or on a share of the GPU. Skipped without a GPU."""

import pytest
import torch

from marl_app.assembly.training import build
from marl_app.config.errors import ConfigError
from tests.rllib.runs import running, small


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("share", [0, 0.1])
def test_a_league_trains_on_a_gpu(ray_here, tmp_path, share):
    overrides = (
        "runtime=gpu",
        "runtime.num_gpus_per_learner=1",
        "runtime.num_env_runners=1",
        f"runtime.num_gpus_per_env_runner={share}",
    )
    with running(tmp_path, *overrides) as algorithm:
        before = algorithm.weights.read("main")
        for _ in range(3):
            algorithm.train()
        (device,) = algorithm.learner_group.foreach_learner(lambda learner: learner.device.type)
        assert device.get() == "cuda"
        after = algorithm.weights.read("main")
    assert any((before[name] != after[name]).any() for name in before)  # three updates move the weights


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_runtime_gpu_without_a_gpu_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"runtime.num_gpus_per_learner: .* use runtime=local"):
        build(small(tmp_path, "runtime=gpu", "runtime.num_gpus_per_learner=1"))

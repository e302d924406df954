"""The checks of the schema that the table of bad command lines does not cover."""

import pytest

from marl_app.config import runtime_section
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.config.machine import Machine
from marl_app.config.tree import schema_keys
from marl_app.rllib.ppo.settings import PPOSettings


def test_inclusive_and_exclusive_bounds():
    assert load(["algorithm.gamma=1", "algorithm.lambda_=0", "runtime.num_env_runners=0"]).algorithm.gamma == 1
    for bad in ("algorithm.lr=0", "algorithm.gamma=1.0001", "runtime.num_env_runners=-1", "stop.minutes=0"):
        with pytest.raises(ConfigError, match=bad.split("=")[0]):
            load([bad])


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_must_be_finite(value):
    with pytest.raises(ConfigError, match=r"algorithm\.lr="):
        load([f"algorithm.lr={value}"])


def test_null_means_no_limit():
    config = load(["stop.minutes=null", "algorithm.grad_clip=null", "evaluation.every_iterations=null"])
    assert config.stop.minutes is None and config.algorithm.grad_clip is None
    assert config.evaluation.every_iterations is None


def test_mapping_is_none_or_has_entries():
    assert load([]).policies.mapping is None
    mapping = load(["+policies.mapping={adversary_*: adversary, *: good}"]).policies.mapping
    assert list(mapping.items()) == [("adversary_*", "adversary"), ("*", "good")]  # in the given order


def test_cores_limit_the_env_runners(monkeypatch):
    monkeypatch.setattr(runtime_section, "this_machine", lambda: Machine(4))
    assert load(["runtime.num_env_runners=4"]).runtime.num_env_runners == 4
    with pytest.raises(ConfigError, match="4, the cores of this machine"):
        load(["runtime.num_env_runners=5"])
    # runtime.num_cpus may be more than the cores of this machine, as on a cluster.
    assert load(["runtime.num_env_runners=8", "runtime.num_cpus=8"]).runtime.num_env_runners == 8


def test_the_batch_must_be_whole_steps_of_all_matches():
    assert load(["runtime.num_env_runners=0", "runtime.num_envs_per_env_runner=512"])
    # 2 env runners x 1000 matches: 16.384 steps do not exist; 16 steps make 32,000.
    bad = ["runtime.num_env_runners=2", "runtime.num_cpus=2", "runtime.num_envs_per_env_runner=1000"]
    with pytest.raises(ConfigError, match="give 32000"):
        load(bad)
    assert load([*bad, "algorithm.train_batch_size_per_learner=32000"])


def test_the_error_of_a_batch_smaller_than_one_step_gives_the_smallest_batch():
    small = ["algorithm.train_batch_size_per_learner=100", "algorithm.minibatch_size=100"]
    with pytest.raises(ConfigError, match="give at most 100 matches, or a batch of 1024"):
        load(small)
    with pytest.raises(ConfigError, match="runtime.num_envs_per_env_runner=1024: .* give at most 100 matches"):
        load([*small, "runtime.num_envs_per_env_runner=1024", "runtime.num_env_runners=1"])


@pytest.mark.parametrize("anchor", ["random", "mcts_1", "mcts_100"])
def test_anchors(anchor):
    assert load([f"evaluation.anchors=[{anchor}]"]).evaluation.anchors == [anchor]


@pytest.mark.parametrize("anchor", ["mcts", "mcts_0", "mcts_1x", "Random", "mcts_-1"])
def test_unknown_anchors(anchor):
    with pytest.raises(ConfigError, match=r"evaluation\.anchors="):
        load([f"evaluation.anchors=[{anchor}]"])


def test_kinds_of_keys():
    kinds = {key.path: (key.kind, key.optional) for key in schema_keys()}
    assert kinds["algorithm.gamma"] == ("a number", False)
    assert kinds["stop.env_steps"] == ("a whole number", True)
    assert kinds["runtime.pipeline"] == ("true or false", False)
    assert kinds["policies.mapping"] == ("a mapping", True)
    assert kinds["stop"] == ("a group of keys", False)


def test_an_algorithm_that_is_on_policy_only_refuses_the_pipeline(monkeypatch):
    # None of the options in conf/ is: PPO corrects for older weights, QMIX learns from a replay buffer.
    monkeypatch.setattr(PPOSettings, "on_policy_only", True)
    assert not load(["runtime.pipeline=false"]).runtime.pipeline
    with pytest.raises(ConfigError, match="give runtime.pipeline=false"):
        load(["runtime.pipeline=true"])

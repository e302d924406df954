"""`league.upgrade`: a user's own multi-agent PPOConfig as a league."""

import functools

import numpy as np
import pytest
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv
from ray.rllib.examples.rl_modules.classes.random_rlm import RandomRLModule
from ray.tune.registry import register_env

import marl_app
from marl_app.config.errors import ConfigError
from marl_app.envs.checker import check_env
from marl_app.envs.multi_agent_adapter import MultiAgent
from marl_app.rllib import league
from marl_app.rllib.ppo.algorithm import LeaguePPO, LeaguePPOConfig
from tests.rllib.scripts import Nim, OwnModule, Pennies, Remembers


def script(env=Nim, **training):
    """Return what an RLlib user's script has, in its small form."""
    return (
        PPOConfig()
        .environment(env)
        .env_runners(num_env_runners=0)
        .training(train_batch_size_per_learner=400, minibatch_size=100, num_epochs=4, lr=3e-3, **training)
        .multi_agent(policies={"main"}, policy_mapping_fn=lambda agent, episode, **_: "main")
    )


SMALL = {"evaluation.anchors": ["random"], "league.schedule.agent_steps": 1000, "runtime.pipeline": False}


@pytest.mark.parametrize(
    ("env", "sides"), [(Nim, None), (Pennies, [["odd"], ["even_*"]])], ids=["turns", "three agents at once"]
)
def test_a_multi_agent_env_keeps_the_contract(env, sides):
    check_env(functools.partial(MultiAgent, make=env, sides=sides), num_matches=4, steps=40)


def test_rewards_masks_and_the_end_of_a_match():
    env, rng = MultiAgent(2, Nim), np.random.default_rng(0)
    env.reset(rng)
    assert env.agents == ("first", "second") and env.sides == ((0,), (1,))
    both = np.array([0, 1])
    step = env.step([np.array([[1, 0], [0, 0]])], rng)  # match 0: two stones left, match 1: three
    assert env.acting().tolist() == [[False, True], [False, True]] and not step.over.any()
    assert env.observe(both, np.array([1, 1])).tolist() == [[2.0], [3.0]]
    step = env.step([np.array([[0, 1], [0, 1]])], rng)  # match 0: the second player takes the last two
    assert step.over.tolist() == [True, False] and step.terminated.tolist() == [[True, True], [False, False]]
    assert step.rewards.tolist() == [[-1.0, 1.0], [0.0, 0.0]] and env.scores(np.array([0])).tolist() == [[0.0, 1.0]]
    assert env.action_mask(np.array([1]), np.array([0])).tolist() == [[True, False]]  # one stone is left


def test_a_time_limit_truncates_all_agents_with_their_last_observation():
    env, rng = MultiAgent(1, Pennies, [["odd"], ["even_*"]]), np.random.default_rng(0)
    env.reset(rng)
    for _ in range(3):
        step = env.step([np.array([[1, 0, 0]])], rng)  # odd differs from both
    assert step.truncated.all() and not step.terminated.any() and step.over.all()
    assert env.observe(np.array([0]), np.array([0])).tolist() == [[3.0, 1.0]]
    assert env.scores(np.array([0])).tolist() == [[1.0, 0.0]]


def test_what_the_script_sets_is_kept():
    config = league.upgrade(script(clip_param=0.11), SMALL)
    values = config.filled()
    assert (values.lr, values.num_epochs, values.clip_param) == (3e-3, 4, 0.11)
    # Not set in the script: as RLlib has them, since they fit each other; conf/algorithm/ppo.yaml has 0.02 and 0.95.
    assert (values.entropy_coeff, values.lambda_) == (0.0, 1.0)
    # 50 is the largest number of matches up to 64 that divides the batch of 400.
    assert (values.train_batch_size_per_learner, values.num_envs_per_env_runner) == (400, 50)
    asked = script().rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[24, 12], fcnet_activation="swish"))
    keys = league.upgrade(asked).league_keys
    assert (keys["model.hidden"], keys["model.activation"], keys["model.vf_share_layers"]) == ([24, 12], "silu", True)
    assert league.upgrade(script().rl_module(model_config={"fcnet_hiddens": [8]})).league_keys["model.hidden"] == [8]


@pytest.mark.usefixtures("ray_here")
def test_a_script_learns_nim_in_a_league(tmp_path):
    asked = script().rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[32]))
    config = league.upgrade(asked, {**SMALL, "evaluation.games": 400}, run_dir=str(tmp_path))
    algorithm = config.build_algo()
    for _ in range(12):
        result = algorithm.train()
    assert result["league"]["pool_size"] >= 2
    # Who leaves three stones wins: perfect play wins always as the first player, and as the second at least when random
    # play takes two of four stones, which it does half of the time: a score of 0.75 or more, here in 400 matches.
    assert algorithm.evaluate()["random"]["greedy"]["score"] > 0.7
    saved = algorithm.save_to_path(tmp_path / "saved")
    algorithm.stop()
    # Of four stones it takes one, of two both.
    agent = marl_app.load_agent(saved)
    mask = np.array([[1, 1], [1, 1]], np.bool_)
    assert agent.act(np.array([[4.0], [2.0]], np.float32), mask, greedy=True).tolist() == [0, 1]
    restored = LeaguePPO.from_checkpoint(saved, config=config.league(run_dir=str(tmp_path / "second")))
    assert restored.iteration == 12
    restored.stop()


@pytest.mark.usefixtures("ray_here")
def test_an_rl_module_of_the_script_is_trained_and_frozen(tmp_path):
    spec = RLModuleSpec(module_class=OwnModule, model_config={"width": 7})
    asked = script(Pennies).rl_module(rl_module_spec=spec)
    config = league.upgrade(
        asked, {**SMALL, "league.schedule.agent_steps": 300}, sides=[["odd"], ["even_*"]], run_dir=str(tmp_path)
    )
    algorithm = config.build_algo()
    before = algorithm.weights.read("main")
    assert {value.shape for name, value in before.items() if name.endswith("inner.body.weight")} == {(7, 2)}
    for _ in range(4):
        result = algorithm.train()
    assert result["league"]["pool_size"] >= 1
    after = algorithm.weights.read("main")
    assert all(not np.array_equal(before[name], after[name]) for name in before)
    assert 0 <= algorithm.evaluate()["random"]["sampled"]["score"] <= 1
    saved = algorithm.save_to_path(tmp_path / "saved")
    algorithm.stop()
    agent = marl_app.load_agent(saved)
    assert agent.probabilities(np.array([1.0, 1.0], np.float32)).sum() == pytest.approx(1)


@pytest.mark.usefixtures("ray_here")
def test_a_random_policy_becomes_a_guest_and_pettingzoo_comes_through_rllibs_wrapper(tmp_path):
    from pettingzoo.classic import tictactoe_v3

    register_env("ttt", lambda _: PettingZooEnv(tictactoe_v3.env()))
    specs = {"main": RLModuleSpec(), "noise": RLModuleSpec(module_class=RandomRLModule)}
    asked = script("ttt").multi_agent(
        policies={"main", "noise"}, policies_to_train=["main"], policy_mapping_fn=lambda agent, episode, **_: "main"
    )
    asked.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
    keys = {**SMALL, "league/matchmaker": "uniform", "model.hidden": [8]}
    algorithm = league.upgrade(asked, keys, run_dir=str(tmp_path)).build_algo()
    result = algorithm.train()
    assert algorithm.league.snapshots[0].player.id == "noise@0000"
    assert result["league"]["self_play_share"] == 0  # uniform over the pool, in which noise is
    algorithm.stop()


def one_of_two():
    return script().multi_agent(policies={"a", "b"}, policy_mapping_fn=lambda agent, episode, **_: "a")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: DQNConfig(), "DQNConfig: give a PPOConfig of RLlib"),
        (lambda: PPOConfig(), "env is missing"),
        (one_of_two, r"policies_to_train: several trained policies \(a, b\)"),
        (
            lambda: one_of_two().multi_agent(policies_to_train=["a"]),
            "policies: b is not trained, and only a RandomRLModule can be a guest",
        ),
        (lambda: script().env_runners(env_to_module_connector=lambda *a: []), "env_to_module_connector: settings of"),
        (lambda: script().training(learner_class=object), "learner_class: settings of RLlib without a meaning"),
        (lambda: script().rl_module(model_config=DefaultModelConfig(use_lstm=True)), "model_config: use_lstm: choose"),
        (
            lambda: script().rl_module(model_config=DefaultModelConfig(fcnet_activation="elu")),
            "model_config: fcnet_activation=elu: give",
        ),
        (lambda: script().env_runners(num_env_runners=3), "train_batch_size_per_learner=400: give a multiple of"),
    ],
)
def test_what_has_no_meaning_in_a_league_is_refused_by_name(asked, message):
    with pytest.raises(ConfigError, match=message) as error:
        league.upgrade(asked())
    assert "\n" not in str(error.value)


def test_rl_modules_that_cannot_be_players_are_refused(tmp_path):
    for made, message in ((Remembers, "Remembers has a state"), (RandomRLModule, "must be a TorchRLModule")):
        asked = script(Pennies).rl_module(rl_module_spec=RLModuleSpec(module_class=made, model_config={"width": 2}))
        with pytest.raises(ConfigError, match=message):
            league.upgrade(asked, SMALL, run_dir=str(tmp_path / made.__name__)).build_algo()


def test_one_environment_for_all_matches_is_found_before_training(tmp_path):
    only = Nim()
    register_env("shared", lambda _: only)
    asked = league.upgrade(script("shared"), SMALL, run_dir=str(tmp_path / "shared"))
    with pytest.raises(
        ConfigError, match="^env: Nim: two matches get the same environment.*: return a new environment"
    ):
        asked.build_algo()
    # A batched environment is one object for as many matches as it is asked for.
    one = MultiAgent(1, Nim)
    asked = LeaguePPOConfig().environment(lambda num_matches: one).league(SMALL, run_dir=str(tmp_path / "one"))
    with pytest.raises(ConfigError, match="^env: asked for 2 matches, it has 1: make as many as num_matches says"):
        asked.build_algo()

"""Env runners without Ray, and requests for them."""

import copy
import functools
from contextlib import closing

import numpy as np

from marl_app.config.compose import load
from marl_app.league.assignment import Assignment, Opponent
from marl_app.players.encoding import encode_player
from marl_app.players.modules.mlp import MLP
from marl_app.players.networks import networks_for_env
from marl_app.rllib.ppo.algorithm import LeaguePPOConfig
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.env_runner import MatchEnvRunner
from marl_app.rllib.sampling.fragments import Failure, Request
from marl_app.rllib.sampling.opponent_slots import weights_to_numpy
from marl_app.store.reader import Direct
from tests.rllib.recorder import Recorder

SMALL = MLP(hidden=[8], activation="tanh", vf_share_layers=False, precision="float32")


@functools.cache
def defaults():
    """Return the configuration of a run with the default PPO, composed once."""
    return load(["algorithm=ppo", "runtime=local", "runtime.num_env_runners=0"])


def make_runner(
    make_env,
    store,
    *,
    matches=8,
    steps=5,
    model=SMALL,
    slots=2,
    agent_id=False,
    critic="local",
    prefetch=False,
    **settings,
):
    """Return a MatchEnvRunner of `matches` matches whose fragments have `steps` steps of each; `settings`: of PPO.

    With the KL loss, so that rows keep the inputs of the policy's distribution, and with lambda 1, RLlib's default.
    """
    config = copy.deepcopy(defaults())
    config.runtime.num_env_runners, config.runtime.num_envs_per_env_runner = 0, matches
    config.runtime.opponent_slots, config.runtime.prefetch = slots, prefetch
    settings = {"use_kl_loss": True, "lambda_": 1.0} | settings
    for name, value in settings.items():
        assert hasattr(config.algorithm, name), name
        setattr(config.algorithm, name, value)
    with closing(make_env(1)) as env:
        agents, networks = tuple(env.agents), networks_for_env(env, agent_id=agent_id, critic=critic)
    spec = RunSpec(config, make_env, None, store, Direct(), model, agents, networks)
    rllib = LeaguePPOConfig().for_run(spec)
    rllib.env_runners(rollout_fragment_length=steps)
    return MatchEnvRunner(config=rllib)


def make_recorded_runner(make_env, store, **options):
    """Return `make_runner(...)` and the Recorder around its environment."""
    envs = []

    def make_recorder(num_matches):
        envs.append(Recorder(make_env(num_matches)))
        return envs[-1]

    runner = make_runner(make_recorder, store, **options)
    env, start_all = envs[-1], runner._start_all_matches

    def start_all_and_introduce(*arguments):
        start_all(*arguments)
        env.matchups = runner._matchups

    runner._start_all_matches = start_all_and_introduce
    return runner, env


def random_weights(runner, seed, scale=0.5):
    """Return weights for the runner's architecture, large enough for policies and values to differ between players.

    Running statistics keep their initial values.
    """
    rng = np.random.default_rng(seed)
    weights = weights_to_numpy(runner._player_networks.modules)
    for network, module in runner._player_networks.modules.items():
        for name, value in module.named_parameters():
            weights[f"{network}/{name}"] = (rng.normal(size=value.shape) * scale).astype(np.float32)
    return weights


def publish(runner, weights, **facts):
    """Put a snapshot with these weights into the runner's store and return its digest."""
    spec = runner.config.spec
    return spec.store.put(encode_player(weights, spec.networks, spec.agents, spec.architecture, facts))


def against(*opponents):
    """Return an assignment of opponents `(digest, share)`; digest None is the learner itself."""
    chosen = tuple(
        Opponent("main" if digest is None else f"main@{number:04d}", digest, f"rule_{number}", 0.5, share)
        for number, (digest, share) in enumerate(opponents)
    )
    return Assignment("main", chosen, np.array([share for _, share in opponents], np.float64))


SELF = against((None, 1.0))


def collect(runner, weights, assignment=SELF, seed=0, version=0, reward_scale=1.0, ahead=()):
    """Return one fragment. Raises AssertionError with the traceback of a Failure."""
    request = Request("main", weights, version, seed, assignment, reward_scale, prefetch_digests=ahead)
    answer = runner.sample(request=request)
    assert not isinstance(answer, Failure), answer.traceback
    return answer

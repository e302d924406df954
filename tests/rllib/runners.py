"""Env runners without Ray, and the requests they get."""

import numpy as np

from marl_app.league.assignment import Assignment, Opponent
from marl_app.players.encoding import encode_player
from marl_app.players.modules.mlp import MLP
from marl_app.players.networks import networks_of
from marl_app.rllib.ppo.algorithm import LeaguePPOConfig
from marl_app.rllib.sampling.env_runner import MatchEnvRunner
from marl_app.rllib.sampling.fragments import Failure, Request
from marl_app.rllib.sampling.opponent_slots import numpy_weights
from tests.rllib.recorder import Recorder

SMALL = MLP(hidden=[8], activation="tanh", vf_share_layers=False, precision="float32")


OURS = {
    "huber_delta": None,
    "normalize_advantages": True,
    "normalize_values": False,
    "normalize_rewards": False,
    "death_masking": True,
}
"""Settings of PPO that RLlib does not have, as in conf/algorithm/ppo.yaml."""


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
    """A MatchEnvRunner of `matches` matches whose fragments have `steps` steps of each.

    `settings`: of RLlib's PPO, or of `OURS`.
    """
    env = make_env(1)
    config = LeaguePPOConfig()
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=matches, rollout_fragment_length=steps)
    config.training(**{key: value for key, value in settings.items() if key not in OURS})
    ours = {key: settings.get(key, value) for key, value in OURS.items()}
    config.matches(
        run_dir="", trainees={"main": 1.0}, turn=1, make_env=make_env, make_league=None, store=store,
        architecture=model, agents=tuple(env.agents), opponent_slots=slots,
        networks=networks_of(env, agent_id=agent_id, critic=critic),
        pipeline=False, no_progress_timeout_s=10, stop=None, hparams={}, prefetch=prefetch, **ours,
    )  # fmt: skip
    return MatchEnvRunner(config=config)


def make_recorded_runner(make_env, store, **options):
    """The same, and the Recorder around its environment."""
    envs = []

    def make_recorder(num_matches):
        envs.append(Recorder(make_env(num_matches)))
        return envs[-1]

    runner = make_runner(make_recorder, store, **options)
    env, start_all = envs[-1], runner._start_all

    def start_all_and_introduce(*arguments):
        start_all(*arguments)
        env.matchups = runner._matchups

    runner._start_all = start_all_and_introduce
    return runner, env


def random_weights(runner, seed, scale=0.5):
    """Weights for a player of the runner's architecture; scaled up, so that policies differ and values matter.

    Running statistics stay as they are.
    """
    rng = np.random.default_rng(seed)
    weights = numpy_weights(runner._policies.modules)
    for network, module in runner._policies.modules.items():
        for name, value in module.named_parameters():
            weights[f"{network}/{name}"] = (rng.normal(size=value.shape) * scale).astype(np.float32)
    return weights


def publish(runner, weights, **facts):
    """A snapshot with these weights in the runner's store: its digest."""
    config = runner.config
    return config.store.put(encode_player(weights, config.networks, config.agents, config.architecture, facts))


def against(*opponents):
    """An assignment: `(digest or None, share)` each; None is the learner itself."""
    dealt = tuple(
        Opponent("main" if digest is None else f"main@{number:04d}", digest, f"rule_{number}", 0.5, share)
        for number, (digest, share) in enumerate(opponents)
    )
    return Assignment("main", dealt, np.array([share for _, share in opponents], np.float64))


SELF = against((None, 1.0))


def collect(runner, weights, assignment=SELF, seed=0, version=0, reward_scale=1.0, ahead=()):
    """One fragment; a Failure becomes an AssertionError with its traceback."""
    answer = runner.sample(request=Request("main", weights, version, seed, reward_scale, assignment, ahead=ahead))
    assert not isinstance(answer, Failure), answer.traceback
    return answer

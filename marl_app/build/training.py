"""A training run from its configuration, as RLlib's configuration of it.

Everything is built once in the driver before Ray starts, so that a wrong argument costs a second and not a cluster.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from marl_app.build.leaves import callback, env_factory, leaf, league, named
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.players import Learner
from marl_app.rllib.algorithm import LeaguePPO
from marl_app.rllib.config import LeaguePPOConfig
from marl_app.rllib.networks import networks_of

OURS = ("huber_delta", "normalize_advantages", "normalize_values", "normalize_rewards", "death_masking")
"""Keys of `algorithm` that are not RLlib's."""


def build(config: Config) -> LeaguePPOConfig:
    """The RLlib configuration of a run; `.build_algo()` gives the algorithm.

    Raises ConfigError, naming the key, for whatever cannot be built or does not fit together.
    """
    make_env = env_factory(config.env)
    env = named("env", functools.partial(make_env, 1))
    agents, sides = env.agents, env.sides
    policies, critic = config.policies, config.algorithm.critic
    networks = named("policies", lambda: networks_of(env, policies.share, policies.mapping, policies.agent_id, critic))
    env.close()
    model = leaf("model", config.model)
    for network in networks:
        named("model", network.spec(model).build)
    make_league = functools.partial(league, config, [Learner(config.league.learner)])
    if len(sides) == 1 and not isinstance(make_league().matchmaker, Latest):
        raise ConfigError(
            f"env: all {len(agents)} agents are on one side, so a league has no opponents: "
            "use +experiment=self_play, or set env.sides"
        )
    rllib = LeaguePPOConfig(LeaguePPO)
    rllib.environment(env="matches", disable_env_checking=True)
    _set_algorithm(rllib, config)
    _set_runtime(rllib, config)
    rllib.callbacks([callback(name, content) for name, content in config.callbacks.items()])
    return rllib.matches(
        run_dir=str(Path(config.output_dir).absolute()),
        learner=config.league.learner,
        make_env=make_env,
        make_league=make_league,
        store=leaf("store", config.store),
        architecture=model,
        agents=tuple(agents),
        networks=networks,
        opponent_slots=config.runtime.opponent_slots,
        pipeline=config.runtime.pipeline,
        no_progress_timeout_s=config.runtime.no_progress_timeout_s,
        stop=config.stop,
        hparams=flat(asdict(config)),
        **{name: getattr(config.algorithm, name) for name in OURS},
    )


def flat(content: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones."""
    result: dict[str, Any] = {}
    for key, value in content.items():
        result |= flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return result


def _set_algorithm(rllib: LeaguePPOConfig, config: Config) -> None:
    settings = {name: value for name, value in asdict(config.algorithm).items() if name not in (*OURS, "critic")}
    if settings["vf_clip_param"] is None:
        settings["vf_clip_param"] = float("inf")
    rllib.training(**settings)


def _set_runtime(rllib: LeaguePPOConfig, config: Config) -> None:
    runtime = config.runtime
    if (runtime.num_gpus_per_learner or runtime.num_gpus_per_env_runner) and not torch.cuda.is_available():
        raise ConfigError("runtime.num_gpus_per_learner: torch sees no GPU here; use runtime=local")
    rllib.env_runners(
        num_env_runners=runtime.num_env_runners,
        num_envs_per_env_runner=runtime.num_envs_per_env_runner,
        num_gpus_per_env_runner=runtime.num_gpus_per_env_runner,
        create_local_env_runner=runtime.num_env_runners == 0,
    )
    rllib.learners(num_learners=runtime.num_learners, num_gpus_per_learner=runtime.num_gpus_per_learner)
    rllib.fault_tolerance(
        restart_failed_env_runners=True,
        delay_between_env_runner_restarts_s=runtime.env_runner_restart_delay_s,
        env_runner_health_probe_timeout_s=5.0,
    )
    rllib.debugging(seed=config.seed, log_level="ERROR")

"""A training run from its configuration, as RLlib's configuration of it.

Everything is built once in the driver before Ray starts, so that a wrong argument costs a second and not a cluster.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from marl_app.assembly.guests import guests
from marl_app.assembly.instantiate import callback, env_factory, leaf, league, named, roster
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config, PPOConfig, ValueDecompositionConfig
from marl_app.envs.batched import BatchedEnv
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.players import MAIN_AGENT
from marl_app.players.central_state import state_size
from marl_app.players.networks import Network, networks_of
from marl_app.rllib.ppo.algorithm import LeaguePPO
from marl_app.rllib.team_q.algorithm import TeamQ, TeamQConfig
from marl_app.rllib.training.config import LeaguePPOConfig, MatchConfig


def build(config: Config) -> MatchConfig:
    """The RLlib configuration of a run; `.build_algo()` gives the algorithm.

    Raises ConfigError, naming the key, for whatever cannot be built or does not fit together.
    """
    make_env = env_factory(config.env)
    env = named("env", functools.partial(make_env, 1))
    agents, sides = env.agents, env.sides
    rllib, settings = _algorithm(config, env)
    networks = _networks(config, env)
    store = leaf("store", config.store)
    invited = guests(config, env, store)
    env.close()
    model = leaf("model", config.model)
    for network in networks:
        named("model", network.spec(model).build)
    players = roster(config)
    make_league = functools.partial(league, config, players)
    first = make_league()
    first.invite(invited)
    for player in players:
        named("league.matchmaker", functools.partial(first.matchmaker.branches, first.view, player.lineage))
    alone = isinstance(first.matchmaker, Latest) and [player.role for player in players] == [MAIN_AGENT]
    if len(sides) == 1 and not alone:
        raise ConfigError(
            f"env: all {len(agents)} agents are on one side, so a league has no opponents: "
            "use +experiment=self_play, or set env.sides"
        )
    if players[0].side is not None and len(sides) != 2:
        raise ConfigError(
            f"league.learners.{players[0].lineage}.side={players[0].side}: a pool per side is for environments of two "
            f"sides, and this one has {len(sides)}: leave the learners' sides out"
        )
    if len(sides) > 2 and config.league.sims_per_entry is not None:
        named("league.meta", functools.partial(first.meta_strategy.solve, np.full((1,) * len(sides), 0.5)))
    rllib.environment(env="matches", disable_env_checking=True)
    _set_runtime(rllib, config)
    rllib.cache = leaf("cache", config.cache)
    rllib.callbacks([callback(name, content) for name, content in config.callbacks.items()])
    return rllib.matches(
        run_dir=str(Path(config.output_dir).absolute()),
        trainees={name: learner.share for name, learner in config.league.learners.items()},
        turn=config.league.turn,
        make_env=make_env,
        make_league=make_league,
        store=store,
        architecture=model,
        agents=tuple(agents),
        networks=networks,
        opponent_slots=config.runtime.opponent_slots,
        pipeline=config.runtime.pipeline,
        no_progress_timeout_s=config.runtime.no_progress_timeout_s,
        stop=config.stop,
        hparams=flat(asdict(config)),
        guests=invited,
        prefetch=config.runtime.prefetch,
        placement_tolerance=config.league.placement_tolerance,
        **settings,
    )


def flat(content: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones."""
    result: dict[str, Any] = {}
    for key, value in content.items():
        result |= flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return result


def _algorithm(config: Config, env: BatchedEnv) -> tuple[MatchConfig, dict[str, Any]]:
    """RLlib's configuration of the chosen algorithm, with RLlib's settings made; and the settings that are ours."""
    settings = asdict(config.algorithm)
    rllib: MatchConfig
    if isinstance(config.algorithm, ValueDecompositionConfig):
        rllib = TeamQConfig(TeamQ)
        _check_team(env, config.algorithm.mixer)
        settings["state_size"] = state_size(env, range(len(env.agents)))
    else:
        rllib = LeaguePPOConfig(LeaguePPO)
        if settings["vf_clip_param"] is None:
            settings["vf_clip_param"] = float("inf")
    rllib.training(**{name: settings.pop(name) for name in rllib.rllib_settings})
    return rllib, settings


def _check_team(env: BatchedEnv, mixer: str) -> None:
    """ConfigError unless the environment is a team of agents with discrete actions that move at the same time."""
    env.reset(np.random.default_rng(0))
    if len(env.sides) > 1:
        problem = f"one cooperative side, and this environment has {len(env.sides)}: set env.sides, or use"
    elif not all(isinstance(group.action_space, spaces.Discrete) for group in env.groups):
        problem = "discrete actions, which this environment has not: use"
    elif not env.acting().all():
        problem = "agents that move at the same time, and here they take turns: use"
    else:
        return
    raise ConfigError(f"algorithm.mixer={mixer}: value decomposition needs {problem} algorithm=mappo")


def _networks(config: Config, env: BatchedEnv) -> tuple[Network, ...]:
    policies, algorithm = config.policies, config.algorithm
    make = functools.partial(networks_of, env, policies.share, policies.mapping, policies.agent_id)
    if isinstance(algorithm, PPOConfig):
        return named("policies", functools.partial(make, critic=algorithm.critic))
    return named("policies", functools.partial(make, epsilon_greedy=True))


def _set_runtime(rllib: MatchConfig, config: Config) -> None:
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
    )
    rllib.debugging(seed=config.seed, log_level="ERROR")

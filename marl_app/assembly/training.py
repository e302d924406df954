"""A training run from its configuration, as RLlib's configuration of it.

Everything is built once in the driver before Ray starts, so that a wrong argument costs a second and not a cluster.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils import force_list

from marl_app.assembly.guests import guests, player_classes, player_in_store, reference_player
from marl_app.assembly.instantiate import callback, class_at, config_errors, env_factory, leaf, league, roster
from marl_app.config.errors import ConfigError
from marl_app.config.machine import available_memory
from marl_app.config.runtime_section import RuntimeConfig
from marl_app.config.schema import Config
from marl_app.envs.batched import MakeEnv, Openings
from marl_app.league.league import League
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.players import MAIN_AGENT, Guest
from marl_app.players.bots import bot_name
from marl_app.players.encoding import difference, network_class, player_metadata
from marl_app.players.modules.actor_critic import Architecture
from marl_app.players.networks import Network, networks_for_env
from marl_app.players.saved_spaces import space_to_json
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.config import MatchConfig
from marl_app.store.codec import metadata_of
from marl_app.store.outbox import start_writing
from marl_app.store.reader import CacheOption
from marl_app.store.store import Store

PROCESS_BYTES = 200 * 2**20
"""Memory of a process that has imported Ray and torch."""


def build(config: Config, rllib: MatchConfig | None = None, make_env: MakeEnv | None = None) -> MatchConfig:
    """Build a run from its configuration: RLlib's configuration of it, whose `.build_algo()` gives the algorithm.

    rllib: receives the run; by default a new one of the configured algorithm. make_env: replaces `env`.
    Raises ConfigError, naming the key, for whatever cannot be built or does not fit together.
    """
    # 1. The environment, and what must fit it: algorithm, networks, players from elsewhere. Two matches show whether
    #    they are separate.
    make_env = make_env or env_factory(config.env)
    with config_errors("env"):
        env = make_env(2)
    with closing(env):
        if env.num_matches != 2:
            raise ConfigError(f"env: asked for 2 matches, it has {env.num_matches}: make as many as num_matches says")
        _check_openings(env.openings)
        if rllib is None:
            with config_errors("algorithm"):
                rllib = class_at(config.algorithm.rllib_config)()
        assert rllib is not None
        rllib.check_supported(env, config.algorithm)
        use = config.algorithm.symmetries
        if use != "none" and not any(group.symmetries for group in env.groups):
            raise ConfigError(f"algorithm.symmetries={use}: this environment states no symmetries; give none")
        policies = config.policies
        with config_errors("policies"):
            networks = networks_for_env(
                env, policies.share, policies.mapping, policies.agent_id, **config.algorithm.network_settings()
            )
        # The bytes of these players are put into the store; from here on they are named by digests.
        store = leaf("store", config.store, Store)
        with config_errors("store"):
            start_writing(store)
        members = guests(config, env, store)
        reference = reference_player(config, env, store)
        initial = "" if config.resume else player_in_store(config, env, store, "init_from", config.init_from)
        agents, sides = env.agents, env.sides
        with config_errors("env"):
            raw_spaces = None if env.raw_spaces is None else [list(map(space_to_json, pair)) for pair in env.raw_spaces]

    # 2. The networks: first their size, then each is built once, which finds settings that do not fit together.
    architecture = leaf("model", config.model, Architecture)
    with config_errors("model"):
        for network in networks:
            check_size(network, architecture)
            network.spec(architecture).build()

    # 3. Weights from elsewhere must be of these networks.
    classes = player_classes(config, architecture.classes, members, store)
    metadata = player_metadata(networks, agents, architecture)
    _check_resets(config, members, store, metadata)
    if initial and (other := difference(metadata_of(store.get(initial)), metadata)):
        raise ConfigError(
            f"init_from={config.init_from} has other networks ({other}): give a player with this run's model"
        )
    if reference:
        with config_errors("algorithm.magnet_player"):
            _check_reference(store.get(reference), networks)
            classes = (*classes, network_class(metadata_of(store.get(reference))["module_class"]))

    # 4. League, resources and callbacks.
    make_league = functools.partial(league, config, roster(config))
    _check_league(config, make_league(), members, agents, sides)
    _check_gpus(config.runtime)
    check_memory(config, networks)
    _check_callbacks(config)

    # 5. Hand the run to RLlib's configuration. Callbacks of a script come after those of `conf/`.
    own = [made for made in force_list(rllib.callbacks_class) if made is not RLlibCallback]
    rllib.callbacks([*(callback(name, content, RLlibCallback) for name, content in config.callbacks.items()), *own])
    return rllib.for_run(
        RunSpec(
            settings=config,
            make_env=make_env,
            make_league=make_league,
            store=store,
            cache=leaf("cache", config.cache, CacheOption),
            architecture=architecture,
            agents=tuple(agents),
            networks=networks,
            raw_spaces=raw_spaces,
            guests=members,
            player_classes=classes,
            sides=tuple(map(tuple, sides)),
            reference_player=reference,
            initial_player=initial,
        )
    )


def _check_openings(openings: Openings | None) -> None:
    """Raise ConfigError unless openings are random moves that can be drawn."""
    if openings is not None and not (0 <= openings.probability <= 1 and 0 <= openings.low <= openings.high):
        probability, low, high = openings
        raise ConfigError(
            f"env.openings: give a probability in [0, 1] and 0 <= low <= high, not {probability}, {low} and {high}"
        )


def _check_league(
    config: Config, league: League, guests: Sequence[Guest], agents: Sequence[str], sides: Sequence[Sequence[int]]
) -> None:
    """Raise ConfigError if the league cannot be played in an environment of these agents and sides."""
    league.invite(guests)
    players = list(league.learners.values())
    with config_errors("league.matchmaker"):
        # A matchmaker may need learners that the league lacks: asked once for each, it raises then.
        for player in players:
            league.matchmaker.branches(league.view, player.lineage)
    # Self-play of one main agent is the only league without opponents.
    alone = isinstance(league.matchmaker, Latest) and [player.role for player in players] == [MAIN_AGENT]
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
        with config_errors("league.meta"):
            # Some meta-strategies solve games of two players only. A game with one entry shows it.
            league.meta_strategy.solve(np.full((1,) * len(sides), 0.5))


def _check_reference(data: bytes, networks: Sequence[Network]) -> None:
    """Raise ValueError unless a player has a network of the same name and agents for each network of the run."""
    found = {network["name"]: tuple(network["agents"]) for network in metadata_of(data)["networks"]}
    wanted = {network.name: network.agents for network in networks}
    if found != wanted:
        raise ValueError(
            f"its networks play {found}, and those of this run {wanted} (agents by network): give a player with "
            "the same policies"
        )


def _check_callbacks(config: Config) -> None:
    """Raise ConfigError unless exactly one callback names opponents."""
    classes = {name: class_at(content["_target_"]) for name, content in config.callbacks.items()}
    default = MatchCallback.on_sample_request
    naming = [name for name, made in classes.items() if getattr(made, "on_sample_request", default) is not default]
    if len(naming) != 1:
        found = f"{', '.join(naming)} name" if naming else "none names"
        raise ConfigError(
            f"callbacks: one must name the opponents of each match (on_sample_request), and {found} them: "
            + ("leave one out" if naming else "add league, as in callbacks=[league,metrics,checkpoint,progress]")
        )


def _check_resets(config: Config, guests: Sequence[Guest], store: Store, metadata: Mapping[str, Any]) -> None:
    """Raise ConfigError if a learner is to start again from a guest whose weights it cannot take over."""
    by_name = {guest.lineage: guest for guest in guests}
    for name, learner in config.league.learners.items():
        # "expert@0000" and "expert" both name the lineage before the @.
        guest = by_name.get(learner.reset_to.partition("@")[0])
        if guest is None:
            continue
        found = metadata_of(store.get(guest.digest))
        other = "it is a bot, without weights" if bot_name(found) else difference(found, metadata)
        if other is not None:
            raise ConfigError(
                f"league.learners.{name}.reset_to={learner.reset_to}: the guest {guest.lineage} has other networks "
                f"({other}): give a guest with this run's model, a learner, or initial"
            )


def _check_gpus(runtime: RuntimeConfig) -> None:
    """Raise ConfigError if the run needs GPUs that torch does not see."""
    if (runtime.num_gpus_per_learner or runtime.num_gpus_per_env_runner) and not torch.cuda.is_available():
        raise ConfigError(
            "runtime.num_gpus_per_learner: torch sees no GPU here: use runtime=local, or give "
            "runtime.num_gpus_per_learner=0"
        )


def check_memory(config: Config, networks: Sequence[Network]) -> None:
    """Raise ConfigError if processes and a batch alone need more memory than there is: Linux would kill the run later.

    A lower bound: each env step of a batch has one row at least, which is held where it is played and where it is
    trained on, and with `runtime.pipeline` the next batch is played meanwhile.
    """
    runtime = config.runtime
    # A cluster has memory that is not seen from here.
    if runtime.address is not None:
        return
    processes = 1 + runtime.num_env_runners + runtime.num_learners
    sizes = [network.observation_space for network in networks]
    # Bytes of the smallest observation: a row has at least one.
    row = min(int(np.prod(space.shape)) * np.dtype(space.dtype).itemsize for space in sizes)
    needed, memory = processes * PROCESS_BYTES + 2 * config.batch_steps * row, available_memory()
    if needed > memory:
        raise ConfigError(
            f"runtime: {processes} processes and a batch of {config.batch_steps:,} rows of {row:,} bytes need at least "
            f"{needed / 2**30:.1f} GiB of the {memory / 2**30:.1f} here: give smaller runtime.num_env_runners and "
            "runtime.num_learners, or algorithm.train_batch_size_per_learner"
        )


def check_size(network: Network, architecture: Architecture) -> None:
    """Raise ConfigError if a network, with its gradients and the two moments of Adam, needs half of the memory."""
    with torch.device("meta"):  # allocates nothing
        weights = sum(parameter.numel() for parameter in network.spec(architecture).build().parameters())
    # 4 bytes each for the weights, their gradients and Adam's two moments.
    needed, available = 4 * weights * 4, available_memory()
    if needed > available / 2:
        raise ConfigError(
            f"model: network {network.name} has {weights:,} weights for observations of shape "
            f"{network.observation_space.shape}; training it takes {needed / 2**30:.0f} GiB of the "
            f"{available / 2**30:.0f} here: give smaller layers, model=cnn for images, or smaller observations"
        )

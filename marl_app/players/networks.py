"""Who decides for which seat: the networks of a player, and the agents each of them plays.

Every player of a league, learner or snapshot, has the same networks: one per set of agents that share weights
(parameter sharing). A learner's network is a module of RLlib's learner; its id is the learner's name, followed by the
network's where there are several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gymnasium import spaces
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from marl_app.envs.batched import BatchedEnv
from marl_app.players.central_state import central_state_size
from marl_app.players.modules.actor_critic import Architecture


@dataclass(frozen=True)
class Network:
    """One network of a player: the agents (indices) it plays, all of group `group`, and their spaces.

    `num_agents` > 0: the network is told which of that many agents it plays (a one-hot agent id). `state_size` > 0: its
    critic sees a global state of that size, and beside it the agent's observation if `critic_sees_observation`.
    `epsilon_greedy`: it says what actions are worth, not how likely they are.
    """

    name: str
    agents: tuple[int, ...]
    group: int
    observation_space: spaces.Box
    action_space: spaces.Space
    num_agents: int = 0
    state_size: int = 0
    critic_sees_observation: bool = False
    epsilon_greedy: bool = False

    def spec(self, architecture: Architecture) -> RLModuleSpec:
        """RLlib's recipe for the network in the given architecture."""
        return RLModuleSpec(
            module_class=architecture.module_class,
            observation_space=self.observation_space,
            action_space=self.action_space,
            model_config={**architecture.model_config, **self.model_config},
        )

    @property
    def model_config(self) -> dict[str, Any]:
        """What a module has to know of its network, as JSON types."""
        return {
            "num_agents": self.num_agents,
            "state_size": self.state_size,
            "critic_sees_observation": self.critic_sees_observation,
            "epsilon_greedy": self.epsilon_greedy,
        }


def networks_for_env(
    env: BatchedEnv,
    share: str = "spaces",
    mapping: Mapping[str, str] | None = None,
    agent_id: bool = False,
    critic: str = "local",
    epsilon_greedy: bool = False,
) -> tuple[Network, ...]:
    """The networks that play all seats of `env`.

    share: which agents share a network: all with the same `spaces` | all of a `role` (their name without its number) |
        `none`.
    mapping: agent name or glob -> network name, the first match counts; in the place of `share`.
    agent_id: tell a network that plays several agents which of them it is.
    critic: what it sees: `local`, the agent's observation | `state`, the global state | `agent_state`, both.
    epsilon_greedy: whether the networks say what actions are worth.
    Raises ValueError, naming the agent, if a seat is left without a network or a network gets agents with other spaces.
    """
    members: dict[str, list[int]] = {}
    for group in env.groups:
        for agent in group.agents:
            members.setdefault(_network_name(env.agents[agent], group.name, share, mapping), []).append(agent)
    groups = {agent: index for index, group in enumerate(env.groups) for agent in group.agents}
    networks = []
    for name, agents in members.items():
        strangers = [agent for agent in agents if groups[agent] != groups[agents[0]]]
        if strangers:
            chosen_by = f"policies.share={share}" if mapping is None else "policies.mapping"
            raise ValueError(
                f"{chosen_by}: network {name!r} plays {env.agents[agents[0]]!r} and {env.agents[strangers[0]]!r}, "
                "whose spaces differ; give them different networks"
            )
        group = env.groups[groups[agents[0]]]
        networks.append(
            Network(
                name,
                tuple(agents),
                groups[agents[0]],
                group.observation_space,
                group.action_space,
                num_agents=len(env.agents) if agent_id and len(agents) > 1 else 0,
                state_size=0 if critic == "local" else central_state_size(env, agents),
                critic_sees_observation=critic == "agent_state",
                epsilon_greedy=epsilon_greedy,
            )
        )
    return tuple(networks)


def _network_name(agent: str, group: str, share: str, mapping: Mapping[str, str] | None) -> str:
    if mapping is None:
        return {"spaces": group, "role": role_from_name(agent), "none": agent}[share]
    for pattern, network in mapping.items():
        if fnmatchcase(agent, pattern):
            return network
    raise ValueError(
        f"policies.mapping: no network for agent {agent!r}; add e.g. {{{agent}: shared}} or {{'*': shared}}"
    )


def role_from_name(agent: str) -> str:
    """The role that an agent's name says, as PettingZoo's names do: adversary_0 -> adversary."""
    return re.sub(r"_?[0-9]+$", "", agent) or agent


def module_id(player: str, network: str, networks: Sequence[Network]) -> str:
    """The id of a learner's network in RLlib's learner: "main", or "main.<network>" where there are several."""
    return player if len(networks) == 1 else f"{player}.{network}"


def multi_module_spec(
    players: Iterable[str], networks: Sequence[Network], architecture: Architecture
) -> MultiRLModuleSpec:
    """RLlib's recipe for all networks of some learners."""
    return MultiRLModuleSpec(
        rl_module_specs={
            module_id(player, network.name, networks): network.spec(architecture)
            for player in players
            for network in networks
        }
    )

"""Parameter sharing: the networks of a player, and the agents that each of them plays.

Every player of a league, learner or snapshot, has the same networks: one per set of agents that share weights. A
learner's network is a module of RLlib's learner; its id is the learner's name, followed by the network's name if the
learner has several.
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
from marl_app.envs.placement import Placement
from marl_app.envs.symmetries import Symmetries
from marl_app.players.central_state import central_state_size
from marl_app.players.modules.actor_critic import Architecture
from marl_app.players.trained_module import trained_class


@dataclass(frozen=True)
class Network:
    """A network of a player: the agents (indices) that it plays, all of group `group`, and their spaces.

    num_agents: if > 0, the network receives an agent id as a one-hot vector of this size.
    state_size: if > 0, its critic sees a global state of this size, and also the agent's observation if
        `critic_sees_observation`.
    epsilon_greedy: its policy head outputs values of actions, not logits.
    symmetries: other views in which its agents may see a match, or None.
    average_symmetries: whether its outputs are means over these views.
    placement: the rules of the board that its agents see, or None.
    """

    name: str
    agents: tuple[int, ...]
    group: int
    observation_space: spaces.Box
    action_space: spaces.Space[Any]
    num_agents: int = 0
    state_size: int = 0
    critic_sees_observation: bool = False
    epsilon_greedy: bool = False
    symmetries: Symmetries | None = None
    average_symmetries: bool = False
    placement: Placement | None = None

    def spec(self, architecture: Architecture) -> RLModuleSpec:
        """Return the RLModuleSpec from which RLlib builds the network in an architecture; see `trained_module.py`."""
        return RLModuleSpec(
            module_class=trained_class(architecture.module_class),
            observation_space=self.observation_space,
            action_space=self.action_space,
            model_config={**architecture.model_config, **self.model_config, **self.stated},
        )

    @property
    def stated(self) -> dict[str, Any]:
        """What the environment states of the network's observations and actions, as JSON types; only what it states."""
        return {
            key: {name: list(map(list, rows)) for name, rows in value._asdict().items()}
            for key, value in (("symmetries", self.symmetries), ("placement", self.placement))
            if value is not None
        }

    @property
    def model_config(self) -> dict[str, Any]:
        """The settings that a module reads from its network, as JSON types."""
        return {
            "num_agents": self.num_agents,
            "state_size": self.state_size,
            "critic_sees_observation": self.critic_sees_observation,
            "epsilon_greedy": self.epsilon_greedy,
            "average_symmetries": self.average_symmetries,
        }


def networks_for_env(
    env: BatchedEnv,
    share: str = "spaces",
    mapping: Mapping[str, str] | None = None,
    agent_id: bool = False,
    critic: str = "local",
    epsilon_greedy: bool = False,
    average_symmetries: bool = False,
) -> tuple[Network, ...]:
    """Return the networks that play all agents of `env`.

    share: which agents share a network: all with the same `spaces` | all of a `role` (their name without its number) |
        `none`.
    mapping: agent name or glob -> network name, used instead of `share`; the first match counts.
    agent_id: give networks that play several agents the agent's id as an input.
    critic: its input: `local`, the agent's observation | `state`, the global state | `agent_state`, both.
    epsilon_greedy: whether the policy heads output values of actions.
    average_symmetries: whether outputs are means over all symmetric views of an observation, where the group has any.

    Raises ValueError, naming the agent, if an agent has no network or a network plays agents with different spaces.
    """
    # 1. Collect the agents of each network.
    members: dict[str, list[int]] = {}  # network name -> agents
    for group in env.groups:
        for agent in group.agents:
            members.setdefault(_network_name(env.agents[agent], group.name, share, mapping), []).append(agent)
    groups = {agent: index for index, group in enumerate(env.groups) for agent in group.agents}  # agent -> group
    names = _identifiers(members)
    # 2. Make the networks; agents of one network must be of one group, because its spaces are the group's.
    networks = []
    for name, agents in members.items():
        misfits = [agent for agent in agents if groups[agent] != groups[agents[0]]]
        if misfits:
            chosen_by = f"policies.share={share}" if mapping is None else "policies.mapping"
            raise ValueError(
                f"{chosen_by}: network {name!r} plays {env.agents[agents[0]]!r} and {env.agents[misfits[0]]!r}, "
                "whose spaces differ; give them different networks"
            )
        group = env.groups[groups[agents[0]]]
        networks.append(
            Network(
                names[name],
                tuple(agents),
                groups[agents[0]],
                group.observation_space,
                group.action_space,
                # An id only helps where several agents share the network.
                num_agents=len(env.agents) if agent_id and len(agents) > 1 else 0,
                state_size=0 if critic == "local" else central_state_size(env, agents),
                critic_sees_observation=critic == "agent_state",
                epsilon_greedy=epsilon_greedy,
                symmetries=group.symmetries,
                average_symmetries=average_symmetries and group.symmetries is not None,
                placement=group.placement,
            )
        )
    return tuple(networks)


def _network_name(agent: str, group: str, share: str, mapping: Mapping[str, str] | None) -> str:
    if mapping is None:
        return {"spaces": group, "role": role_from_name(agent), "none": agent}[share]
    # In the order of the mapping: the first pattern that matches counts.
    for pattern, network in mapping.items():
        if agent == str(pattern) or fnmatchcase(agent, str(pattern)):  # agents may be numbers, or have brackets
            return network
    raise ValueError(
        f"policies.mapping: no network for agent {agent!r}; add e.g. {{{agent}: shared}} or {{'*': shared}}"
    )


def _identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return name -> a different name that weights and RLlib's modules can have: letters, digits, _ and -."""
    result: dict[str, str] = {}
    for name in names:
        identifier = plain = re.sub(r"[^\w-]", "_", name) or "_"
        count = 1
        # Different names may become the same identifier: number the later ones.
        while identifier in result.values():
            count += 1
            identifier = f"{plain}_{count}"
        result[name] = identifier
    return result


def role_from_name(agent: str) -> str:
    """Return an agent's name without its number, which is its role in PettingZoo: adversary_0 -> adversary."""
    return re.sub(r"_?[0-9]+$", "", agent) or agent


def module_id(player: str, network: str, networks: Sequence[Network]) -> str:
    """Return the id of a learner's network in RLlib: "main", or "main.<network>" if learners have several networks."""
    return player if len(networks) == 1 else f"{player}.{network}"


def multi_module_spec(
    players: Iterable[str], networks: Sequence[Network], architecture: Architecture
) -> MultiRLModuleSpec:
    """Return the MultiRLModuleSpec from which RLlib builds all networks of some learners."""
    return MultiRLModuleSpec(
        rl_module_specs={
            module_id(player, network.name, networks): network.spec(architecture)
            for player in players
            for network in networks
        }
    )

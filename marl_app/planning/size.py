"""The size of a league: the settings of a plan, and the arithmetic that needs nothing else.

Units are in the names: seconds, bytes (1 GB = 1e9 bytes) and, for bandwidths, decimal gigabits per second as network
hardware is sold; only `bytes_per_s` converts bits to bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from marl_app.config.errors import ConfigError
from marl_app.config.section import Section, key

MAX_SNAPSHOTS = 3000  # the payoff table of a larger pool would take more than a few hundred megabytes


def bytes_per_s(gbit_per_s: float) -> float:
    """Convert gigabits per second (1e9 bits) to bytes per second (8 bits)."""
    return gbit_per_s * 1e9 / 8


@dataclass
class Size(Section):
    """The settings from which a league is sized. Raises ConfigError, naming the key, for invalid values."""

    path: ClassVar[str] = "task"
    actors: int = key("Processes that play matches.", at_least=1)
    matches_at_once: int = key("Matches that an actor steps in parallel.", at_least=1)
    matches: float = key("Matches to play in total.", above=0)
    match_s: float = key("Duration of a match in seconds.", above=0)
    match_env_steps: float = key("Env steps of a match.", above=0)
    sides: int = key("Sides of a match; 1 = a team without opponents.", at_least=1)
    agents_per_side: int = key("Agents of a side; they share one network.", at_least=1)
    agent_steps_per_env_step: float = key("Actions of one agent per env step.", above=0, at_most=1)
    snapshot_bytes: float = key("Bytes of a snapshot, and of the trainee's weights.", above=0)
    pool_snapshots: int = key("Snapshots in the full pool.", at_least=1, at_most=MAX_SNAPSHOTS)
    freeze_interval_s: float = key("Seconds between two snapshots.", above=0)
    elo_per_generation: float = key("Elo gained from one snapshot to the next; it sets the win rates.", at_least=0)
    update_interval_s: float = key("Seconds between two updates of the learner.", above=0)
    weights_interval_s: float | None = key("Seconds between an actor's pulls of the trainee's weights.", above=0)
    opponent_interval_s: float | None = key("Seconds between an actor's changes of opponents.", above=0)
    opponents_at_once: int = key("Snapshots that an actor holds.", at_least=1)
    racks: int = key("Racks, each with one uplink to the store.", at_least=1)
    nodes: int = key("Machines in all racks together.", at_least=1)
    rack_cache_snapshots: int | None = key("Capacity of a rack's cache in snapshots.", at_least=1)
    node_cache_snapshots: int | None = key("Capacity of a node's shared memory in snapshots.", at_least=1)
    node_memory_bytes: float = key("Memory of a node for snapshots and the trainee's weights.", above=0)
    store_gbit_per_s: float = key("Bandwidth out of the store.", above=0)
    rack_uplink_gbit_per_s: float = key("Bandwidth into a rack.", above=0)
    node_gbit_per_s: float = key("Bandwidth into a node, and out of a rack's cache.", above=0)
    learner_agent_steps_per_s: float = key("Agent steps that the learner trains on per second.", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        # At least one node per rack, and one actor per node.
        for few, many in (("racks", "nodes"), ("nodes", "actors")):
            if getattr(self, few) > getattr(self, many):
                raise ConfigError(
                    f"task.{few}={getattr(self, few)} is more than task.{many}={getattr(self, many)}: "
                    f"give as many {few} or fewer"
                )
        if self.nodes % self.racks:
            nearest = max(1, round(self.nodes / self.racks)) * self.racks
            raise ConfigError(f"task.nodes={self.nodes} is no multiple of task.racks={self.racks}: give {nearest}")

    @property
    def nodes_per_rack(self) -> int:
        return self.nodes // self.racks

    @property
    def actors_per_node(self) -> float:
        return self.actors / self.nodes

    @property
    def actors_per_rack(self) -> float:
        return self.actors / self.racks

    @property
    def played_s(self) -> float:
        """Wall-clock time that the actors need for all matches, without waiting for the learner."""
        return self.matches * self.match_s / (self.actors * self.matches_at_once)

    @property
    def env_steps_per_s(self) -> float:
        """Env steps per second of all actors together."""
        return self.actors * self.matches_at_once * self.match_env_steps / self.match_s

    def agent_steps_per_env_step_of_all(self, self_play: float) -> float:
        """Return the agent steps trained on per env step. `self_play`: share of matches of the trainee with itself.

        Self-play trains on every side, other matches on one side. Each agent of a side adds its steps: with one
        network shared by n agents, an episode of T env steps is n x T agent steps.
        """
        # One side is the trainee's in every match, the others only in self-play.
        trained_sides = 1 + (self.sides - 1) * self_play
        return trained_sides * self.agents_per_side * self.agent_steps_per_env_step

    def agent_steps_per_s(self, self_play: float) -> float:
        """Return the agent steps to train on per second that the actors deliver."""
        return self.env_steps_per_s * self.agent_steps_per_env_step_of_all(self_play)

    def agent_steps(self, self_play: float) -> float:
        """Return the agent steps to train on in all matches."""
        return self.matches * self.match_env_steps * self.agent_steps_per_env_step_of_all(self_play)

    def learned_s(self, self_play: float) -> float:
        """Return the wall-clock time that the learner needs for all matches."""
        return self.agent_steps(self_play) / self.learner_agent_steps_per_s

    def batch_agent_steps(self, self_play: float) -> float:
        """Return the rows of the learner's batch: the agent steps that the actors deliver between two updates."""
        return self.agent_steps_per_s(self_play) * self.update_interval_s

    @property
    def replica_bytes(self) -> float:
        """Storage of one replica of the pool."""
        return self.pool_snapshots * self.snapshot_bytes

    def requests_per_s(self, snapshot_share: float) -> float:
        """Return the snapshots requested per second by one actor. `snapshot_share`: share of matches against snapshots.

        One request per such match; with an `opponent_interval_s`, at most `opponents_at_once` per interval.
        """
        # A match against snapshots needs one request.
        per_match = snapshot_share * self.matches_at_once / self.match_s
        if self.opponent_interval_s is None:
            return per_match
        return min(per_match, self.opponents_at_once / self.opponent_interval_s)

    def versions_per_s(self, actors: float) -> float:
        """Return the versions of the trainee's weights pulled per second by `actors` that share each pulled version.

        An actor pulls the newest weights at most once per update, and once per `weights_interval_s` (null: once per
        match), at times independent of the other actors. A version is current for one update interval, and is pulled
        if at least one of the actors pulls within it.
        """
        probability = min(1.0, self.update_interval_s / (self.weights_interval_s or self.match_s))
        return float((1 - (1 - probability) ** actors) / self.update_interval_s)

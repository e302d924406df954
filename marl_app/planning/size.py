"""The size of a league: what a user states, and the arithmetic that follows from it alone.

Units are in the names: seconds, bytes (1 GB = 1e9 bytes) and, for bandwidths, decimal gigabits per second as network
gear is sold; `bytes_per_s` is the one place where bits become bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from marl_app.config.errors import ConfigError
from marl_app.config.schema import Section, key

MAX_SNAPSHOTS = 3000  # the payoff of a larger pool does not fit into a few hundred megabytes


def bytes_per_s(gbit_per_s: float) -> float:
    """Gigabits per second (1e9 bits) in bytes per second (8 bits)."""
    return gbit_per_s * 1e9 / 8


@dataclass
class Size(Section):
    """What a league is sized from. Raises ConfigError, naming the key, for values that cannot be."""

    path: ClassVar[str] = "task"
    actors: int = key("Processes that play matches.", at_least=1)
    matches_at_once: int = key("Matches that an actor steps together.", at_least=1)
    matches: float = key("Matches to be played in all.", above=0)
    match_s: float = key("Seconds that a match takes.", above=0)
    match_env_steps: float = key("Env steps of a match.", above=0)
    sides: int = key("Sides of a match; 1 = a team without opponents.", at_least=1)
    agents_per_side: int = key("Agents of a side; they share one network.", at_least=1)
    agent_steps_per_env_step: float = key("Actions of one agent per env step.", above=0, at_most=1)
    snapshot_bytes: float = key("Bytes of a snapshot, and of the trainee's weights.", above=0)
    pool_snapshots: int = key("Snapshots of the full pool.", at_least=1, at_most=MAX_SNAPSHOTS)
    freeze_interval_s: float = key("Seconds between two snapshots.", above=0)
    elo_per_generation: float = key("Elo from one snapshot to the next: the matchmaker's win rates.", at_least=0)
    update_interval_s: float = key("Seconds between two updates of the learner.", above=0)
    weights_interval_s: float | None = key("Seconds between an actor's pulls of the trainee's weights.", above=0)
    opponent_interval_s: float | None = key("Seconds between an actor's changes of opponents.", above=0)
    opponents_at_once: int = key("Snapshots that an actor holds.", at_least=1)
    racks: int = key("Racks, each with one uplink to the store.", at_least=1)
    nodes: int = key("Machines, in all racks together.", at_least=1)
    rack_cache_snapshots: int | None = key("Snapshots that a rack's cache holds.", at_least=1)
    node_cache_snapshots: int | None = key("Snapshots that a node's shared memory holds.", at_least=1)
    node_memory_bytes: float = key("Memory of a node for snapshots and the trainee's weights.", above=0)
    store_gbit_per_s: float = key("What the store sends.", above=0)
    rack_uplink_gbit_per_s: float = key("What a rack receives.", above=0)
    node_gbit_per_s: float = key("What a node receives, and what a rack's cache sends.", above=0)
    learner_agent_steps_per_s: float = key("Agent steps that the learner trains on per second.", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
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
        """ActorLimit-clock that the actors need for all matches, learner and matchmaking aside."""
        return self.matches * self.match_s / (self.actors * self.matches_at_once)

    @property
    def env_steps_per_s(self) -> float:
        """Env steps of all actors together."""
        return self.actors * self.matches_at_once * self.match_env_steps / self.match_s

    def agent_steps_per_env_step_of_all(self, self_play: float) -> float:
        """Agent steps that are trained on per env step, if `self_play` of the matches are the trainee's with itself.

        Those train every side, the others one side. Each of a side's agents adds its own steps: with one shared
        network of n agents, an episode of T env steps is n x T agent steps.
        """
        trained_sides = 1 + (self.sides - 1) * self_play
        return trained_sides * self.agents_per_side * self.agent_steps_per_env_step

    def agent_steps_per_s(self, self_play: float) -> float:
        """Trained agent steps per second that the actors can deliver."""
        return self.env_steps_per_s * self.agent_steps_per_env_step_of_all(self_play)

    def agent_steps(self, self_play: float) -> float:
        """Trained agent steps of all matches."""
        return self.matches * self.match_env_steps * self.agent_steps_per_env_step_of_all(self_play)

    def learned_s(self, self_play: float) -> float:
        """ActorLimit-clock that the learner needs for all matches."""
        return self.agent_steps(self_play) / self.learner_agent_steps_per_s

    def batch_agent_steps(self, self_play: float) -> float:
        """Rows of the learner's batch: what the actors deliver between two updates."""
        return self.agent_steps_per_s(self_play) * self.update_interval_s

    @property
    def replica_bytes(self) -> float:
        """Storage of one replica of the pool."""
        return self.pool_snapshots * self.snapshot_bytes

    def requests_per_s(self, snapshot_share: float) -> float:
        """Snapshots that one actor asks for per second, if `snapshot_share` of its matches are against snapshots.

        One per such match; with an `opponent_interval_s`, no more than it holds per interval.
        """
        per_match = snapshot_share * self.matches_at_once / self.match_s
        if self.opponent_interval_s is None:
            return per_match
        return min(per_match, self.opponents_at_once / self.opponent_interval_s)

    def versions_per_s(self, actors: float) -> float:
        """Versions of the trainee's weights that `actors` which share what one of them pulled pull per second.

        An actor pulls the newest weights at most once per update, and once per `weights_interval_s` (null: once per
        match), at a time that has nothing to do with the others'. A version lives for one update, and is pulled if
        any of them comes by.
        """
        chance = min(1.0, self.update_interval_s / (self.weights_interval_s or self.match_s))
        return float((1 - (1 - chance) ** actors) / self.update_interval_s)

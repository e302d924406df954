"""Players of a league: learners, whose weights train, and snapshots, which never change.

The words are AlphaStar's (Vinyals et al., 2019), except that the id of a snapshot, its "historical player", names its
learner and generation: `main@0003` is the snapshot of `main` that was frozen as number 3, counted from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

# Roles: the purpose of a learner.
MAIN_AGENT = "main_agent"  # becomes robust against all players
MAIN_EXPLOITER = "main_exploiter"  # finds weaknesses of the current main agents
LEAGUE_EXPLOITER = "league_exploiter"  # finds weaknesses that the whole pool shares
ROLES = (MAIN_AGENT, MAIN_EXPLOITER, LEAGUE_EXPLOITER)
GUEST = "guest"  # the role of a snapshot that is not of a learner of the run: a player of another run, or a bot

# The pattern of lineages: safe as a file name, a metric name and a module id.
LINEAGE = "[a-z][a-z0-9_]{0,63}"
_GENERATION = re.compile(r"[0-9]{4,}")


@total_ordering
@dataclass(frozen=True)
class Player:
    """A learner (`generation` is None) or one of its snapshots (`generation` >= 0).

    The only class that converts between players and ids; everywhere else an id is an opaque string. Players sort by
    lineage, then by age: the snapshots oldest first, and last the learner, which is newer than all of them.

    Raises ValueError unless the lineage matches LINEAGE and the generation is None or >= 0.
    """

    lineage: str
    generation: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(LINEAGE, self.lineage):
            raise ValueError(f"lineage {self.lineage!r} must match {LINEAGE}")
        if self.generation is not None and self.generation < 0:
            raise ValueError(f"generation of {self.lineage!r} must be >= 0, not {self.generation}")

    def __lt__(self, other: Player) -> bool:
        return self._sort_key() < other._sort_key()

    def _sort_key(self) -> tuple[str, bool, int]:
        """Return (lineage, is a learner, generation): False sorts before True, so snapshots before the learner."""
        return self.lineage, self.generation is None, self.generation or 0

    @property
    def id(self) -> str:
        """`"main"` for a learner, `"main@0003"` for a snapshot (at least four digits)."""
        return self.lineage if self.generation is None else f"{self.lineage}@{self.generation:04d}"

    @classmethod
    def parse(cls, text: str) -> Player:
        """Return the player with this id. Raises ValueError for any spelling that `.id` does not write."""
        lineage, at, generation = text.partition("@")
        if at and not _GENERATION.fullmatch(generation):
            raise ValueError(
                f"{text!r} is not a player id: expected a lineage, or lineage@generation as in 'main@0003'"
            )
        player = cls(lineage, int(generation) if at else None)
        # One spelling per player: ids are compared as strings everywhere else.
        if player.id != text:
            raise ValueError(f"{text!r} is not a player id: expected {player.id!r}")
        return player

    @property
    def is_snapshot(self) -> bool:
        """Whether this is a snapshot and not a learner."""
        return self.generation is not None

    def snapshot(self, generation: int) -> Player:
        """Return the snapshot of this player's lineage with this generation."""
        return Player(self.lineage, generation)


NEVER = "never"  # a learner that continues after every freeze
INITIAL = "initial"  # names the weights that training began with; not the id of any snapshot, which contains an @


@dataclass(frozen=True)
class Learner:
    """A player that trains, with its role, and the weights that it starts again from if it is reset after a freeze.

    `reset_to` is NEVER, INITIAL, the id of a snapshot, or a lineage, which stands for its newest snapshot. `side` is
    the side that it plays, in a league with a pool per side; None: all sides in turn.
    """

    lineage: str
    role: str = MAIN_AGENT
    reset_to: str = INITIAL
    side: int | None = None

    @property
    def player(self) -> Player:
        """The learner as a player."""
        return Player(self.lineage)


@dataclass(frozen=True)
class Snapshot:
    """A learner at the time of a freeze. It never changes; it leaves the pool only when the pool is full.

    `digest` names its weights in the store; the weights themselves are never here. `agent_steps` counts the agent steps
    that the learner had trained on, resets included; `parent` is the digest of the snapshot that its training continued
    from: the previous one, or the one that the learner was reset to; None for initial weights. `reason` is the
    schedule's reason for the freeze, in words. `side` is the learner's.
    """

    player: Player
    digest: str
    agent_steps: int
    parent: str | None
    role: str
    reason: str = ""
    side: int | None = None


@dataclass(frozen=True)
class Guest:
    """A fixed opponent that is in the pool from the beginning: a player of another run, or a bot.

    `digest` names its bytes in the store, `source` describes it in words; it can play one `side` or (None) all. As a
    snapshot it is generation 0 of a separate lineage.
    """

    lineage: str
    digest: str
    source: str
    side: int | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The guest as a snapshot of the pool: no agent steps, no parent."""
        return Snapshot(Player(self.lineage, 0), self.digest, 0, None, GUEST, self.source, self.side)

"""Who takes part in a league: learners, whose weights train, and snapshots, which are frozen for good.

The words are AlphaStar's (Vinyals et al., 2019), except that a snapshot, its "historical player", knows by name which
learner it was and when: `main@0003` is the snapshot of `main` that was frozen as number 3, counted from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

# Roles: what a learner is for.
MAIN_AGENT = "main_agent"  # has to be robust against everybody
MAIN_EXPLOITER = "main_exploiter"  # finds weaknesses of the main agents as they are now
LEAGUE_EXPLOITER = "league_exploiter"  # finds weaknesses that the whole pool shares
ROLES = (MAIN_AGENT, MAIN_EXPLOITER, LEAGUE_EXPLOITER)
GUEST = "guest"  # the role of a snapshot that no learner of the run was: somebody else's, or a bot

LINEAGE = "[a-z][a-z0-9_]{0,63}"  # what a lineage matches: safe as a file name, a metric name and a module id
_GENERATION = re.compile(r"[0-9]{4,}")


@total_ordering
@dataclass(frozen=True)
class Player:
    """A learner (`generation` is None) or one of its snapshots (`generation` >= 0).

    The only class that turns a player into an id and back; everywhere else an id is an opaque string. Players sort by
    lineage, then by age: the snapshots oldest first and the learner, which is newer than all of them, last.

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
        return self._age() < other._age()

    def _age(self) -> tuple[str, bool, int]:
        return self.lineage, self.generation is None, self.generation or 0

    @property
    def id(self) -> str:
        """`"main"` for a learner, `"main@0003"` for a snapshot (at least four digits)."""
        return self.lineage if self.generation is None else f"{self.lineage}@{self.generation:04d}"

    @classmethod
    def parse(cls, text: str) -> Player:
        """The player with this id. Only the one spelling that `.id` writes is accepted, else ValueError."""
        lineage, at, generation = text.partition("@")
        if at and not _GENERATION.fullmatch(generation):
            raise ValueError(
                f"{text!r} is not a player id: expected a lineage, or lineage@generation as in 'main@0003'"
            )
        player = cls(lineage, int(generation) if at else None)
        if player.id != text:
            raise ValueError(f"{text!r} is not a player id: write {player.id!r}")
        return player

    @property
    def is_snapshot(self) -> bool:
        return self.generation is not None

    def snapshot(self, generation: int) -> Player:
        """The snapshot of this player's lineage with this generation."""
        return Player(self.lineage, generation)


INITIAL = "initial"  # the weights that training began with; no snapshot has an id like this


@dataclass(frozen=True)
class Learner:
    """A player that trains, what it is for (its role), and what it starts again from if it is reset after a freeze.

    `reset_to`: INITIAL, or the id of a snapshot, or a lineage, whose newest snapshot it is. `side`: the one that it
    plays, in a league with a pool per side; None: all of them in turn.
    """

    lineage: str
    role: str = MAIN_AGENT
    reset_to: str = INITIAL
    side: int | None = None

    @property
    def player(self) -> Player:
        return Player(self.lineage)


@dataclass(frozen=True)
class Snapshot:
    """A learner as it was when it was frozen. It never changes; it leaves the pool only when that is full.

    `digest` names its weights in the store; the weights themselves are never here. `agent_steps` is how many agent
    steps the learner had trained on by then, resets or not; `parent` is the digest of the snapshot that it was trained
    on from: the one before it, or what the learner was reset to; None for initial weights. `reason` is why the schedule
    froze it, in words. `side` is the learner's.
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
    """Somebody who sits in the pool from the beginning: a player of another run, or a bot.

    `digest` names its bytes in the store, `source` says in words what it is; it can play one `side` or (None) all. As
    a snapshot it is generation 0 of a lineage of its own.
    """

    lineage: str
    digest: str
    source: str
    side: int | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The guest as a snapshot of the pool, without a past in this run."""
        return Snapshot(Player(self.lineage, 0), self.digest, 0, None, GUEST, self.source, self.side)

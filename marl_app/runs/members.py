"""The players of a run directory, selected by name or pattern: main, main@0003, *, *@*, main@*."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marl_app.league.players import Player
from marl_app.runs.checkpoints import latest_checkpoint


class Members:
    """The learners and the pool of a run directory, as recorded in its newest whole checkpoint.

    trust: whether the run may name classes to import, see `runs/trust.py`.
    state: the checkpoint's state. learners: their ids.
    steps: id -> agent steps that the player had trained on; by lineage, oldest snapshot first and the learner last.
    Raises FileNotFoundError if the run has no whole checkpoint.
    """

    def __init__(self, run: Path, trust: bool = False) -> None:
        checkpoint = latest_checkpoint(run / "checkpoints")
        if checkpoint is None:
            raise FileNotFoundError(f"{run} holds no whole checkpoint; is it a run directory?")
        self.run = run
        self.trust = trust
        self.state = checkpoint.state
        self.learners = [learner.lineage for learner in self.state.learners]
        steps = {snapshot.player: snapshot.agent_steps for snapshot in self.state.snapshots}
        steps |= {Player(lineage): self.state.totals[lineage].agent_steps for lineage in self.learners}
        self.steps = {player.id: steps[player] for player in sorted(steps)}

    def matching(self, pattern: str, snapshots: int) -> list[str]:
        """Return the ids that match a name or a pattern, with at most `snapshots` evenly spaced ones per lineage.

        A pattern with "@" matches snapshots only, a pattern without it learners only.
        Raises ValueError, which lists the available players, if nothing matches; but a pattern of snapshots of a
        learner matches nothing without an error, because the pool may be empty.
        """
        # 1. Names and patterns that match.
        of_snapshots = "@" in pattern
        matches = [
            player
            for player in self.steps
            if ("@" in player) == of_snapshots and (player == pattern or fnmatch.fnmatchcase(player, pattern))
        ]
        # 2. Nothing was found: an error, unless it is a pattern for the snapshots of a learner, which may have none.
        is_pattern = any(sign in pattern for sign in "*?[")
        may_be_empty = is_pattern and of_snapshots and fnmatch.filter(self.learners, pattern.partition("@")[0])
        if not matches and not may_be_empty:
            raise ValueError(f"{self.run} has no player {pattern!r}; its players are {self.describe()}")
        # 3. Of each lineage evenly spaced ones.
        lineages: dict[str, list[str]] = {}
        for player in matches:
            lineages.setdefault(Player.parse(player).lineage, []).append(player)
        return [player for ids in lineages.values() for player in evenly_spaced(ids, snapshots)]

    def describe(self) -> str:
        """Return the available players as text, for error messages: main, main@0000 to main@0004 (5 snapshots)."""
        words = []
        for lineage in dict.fromkeys([*self.learners, *(player.partition("@")[0] for player in self.steps)]):
            ids = [player for player in self.steps if player.startswith(f"{lineage}@")]
            shown = ids if len(ids) < 4 else [f"{ids[0]} to {ids[-1]} ({len(ids)} snapshots)"]
            words += [*([lineage] if lineage in self.learners else []), *shown]
        return ", ".join(words)


def evenly_spaced(items: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` evenly spaced items, including the last one and, with limit > 1, the first one."""
    if len(items) <= limit:
        return list(items)
    # From the last to the first, so that limit = 1 keeps the last.
    indices = np.linspace(len(items) - 1, 0, limit).round().astype(int)[::-1]
    return [items[index] for index in indices]

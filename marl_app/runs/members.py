"""The players of a run directory, by name or pattern: main, main@0003, *, *@*, main@*."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marl_app.league.players import Player
from marl_app.runs.checkpoints import latest_checkpoint


class Members:
    """The players of a run directory, as its newest whole checkpoint knows them: the learners and the pool.

    `steps`: by id, the agent steps that each had trained on; the oldest of a lineage first and its learner last.
    Raises FileNotFoundError if the run has no whole checkpoint.
    """

    def __init__(self, run: Path) -> None:
        checkpoint = latest_checkpoint(run / "checkpoints")
        if checkpoint is None:
            raise FileNotFoundError(f"{run} holds no whole checkpoint; is it a run directory?")
        self.run = run
        self.state = checkpoint.state
        self.learners = [learner.lineage for learner in self.state.learners]
        steps = {snapshot.player: snapshot.agent_steps for snapshot in self.state.snapshots}
        steps |= {Player(lineage): self.state.trainees[lineage].agent_steps for lineage in self.learners}
        self.steps = {player.id: steps[player] for player in sorted(steps)}

    def matching(self, pattern: str, snapshots: int) -> list[str]:
        """The ids that fit a name or a pattern, at most so many snapshots of each lineage.

        Raises ValueError, naming the players there are, for a name that nobody has. A pattern of snapshots may fit none
        while the pool is empty.
        """
        wants_snapshots = "@" in pattern
        fitting = [
            name
            for name in self.steps
            if ("@" in name) == wants_snapshots and (name == pattern or fnmatch.fnmatchcase(name, pattern))
        ]
        is_pattern = any(sign in pattern for sign in "*?[")
        may_come = is_pattern and wants_snapshots and fnmatch.filter(self.learners, pattern.partition("@")[0])
        if not fitting and not may_come:
            raise ValueError(f"{self.run} has no player {pattern!r}; there are {self.describe()}")
        lines: dict[str, list[str]] = {}
        for name in fitting:
            lines.setdefault(Player.parse(name).lineage, []).append(name)
        return [name for line in lines.values() for name in evenly_spaced(line, snapshots)]

    def describe(self) -> str:
        """Who is there, in words."""
        words = []
        for lineage in dict.fromkeys([*self.learners, *(name.partition("@")[0] for name in self.steps)]):
            line = [name for name in self.steps if name.startswith(f"{lineage}@")]
            shown = line if len(line) < 4 else [f"{line[0]} to {line[-1]} ({len(line)} snapshots)"]
            words += [*([lineage] if lineage in self.learners else []), *shown]
        return ", ".join(words)


def evenly_spaced(line: Sequence[str], most: int) -> list[str]:
    """At most so many of a sequence, evenly spaced, the last (and, if there is room, the first) among them."""
    if len(line) <= most:
        return list(line)
    places = np.linspace(len(line) - 1, 0, most).round().astype(int)[::-1]
    return [line[place] for place in places]

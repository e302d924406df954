"""Old snapshots are kept at wider and wider intervals, so that a small pool spans the whole run.

The self-play pool of PufferLib (Suarez, 2024) drops every other entry of the older half when the pool is full.

Where we differ: one snapshot leaves at a time, with the same result in the long run: in the older half, the snapshot
whose neighbors in its lineage are nearest to each other in agent steps; of equal ones the oldest. The first snapshot of
a lineage stays as long as possible.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from marl_app.league.thinning.thinning import Drop
from marl_app.league.view import LeagueView


class Stride:
    """The snapshot of the older half that leaves the smallest gap."""

    def drop(self, view: LeagueView, protected: Collection[str]) -> Drop:
        half = len(view.snapshots) // 2
        gaps = _gaps(view)
        # Ranked by: first or last of its lineage, newer half, gap, age. The minimum leaves.
        ranked = [
            (math.isinf(gaps[snapshot.player.id]), index >= half, gaps[snapshot.player.id], index)
            for index, snapshot in enumerate(view.snapshots)
            if snapshot.player.id not in protected
        ]
        *_, gap, index = min(ranked)
        reason = "the oldest" if math.isinf(gap) else f"the gap it leaves is the smallest: {gap:,.0f} agent steps"
        return Drop(view.snapshots[index].player.id, reason)


def _gaps(view: LeagueView) -> dict[str, float]:
    """Return the agent steps between the neighbors of each snapshot in its lineage; infinite for its first and last."""
    gaps = {snapshot.player.id: math.inf for snapshot in view.snapshots}
    for lineage in {snapshot.player.lineage for snapshot in view.snapshots}:
        line = view.snapshots_of(lineage)
        for before, snapshot, after in zip(line, line[1:], line[2:], strict=False):
            gaps[snapshot.player.id] = float(after.agent_steps - before.agent_steps)
    return gaps

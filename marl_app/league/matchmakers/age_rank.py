"""Newer snapshots with higher probability, by their rank in age: the self-play pool of PufferLib.

Suarez (2024), "PufferLib: making reinforcement learning libraries and environments play nice". The weight of the k-th
oldest snapshot is k ** `exponent` (there 0.5). The newest few (there 5) are almost the learner itself, so they are left
out while other snapshots exist.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch, branches_over
from marl_app.league.view import LeagueView


class AgeRank:
    """Snapshots of all lineages except the newest `skip_newest`; a larger `exponent` prefers newer snapshots.

    An exponent of 0 is uniform; a negative exponent prefers old snapshots.
    """

    def __init__(self, exponent: float, skip_newest: int = 0) -> None:
        if not np.isfinite(exponent) or skip_newest < 0:
            raise ValueError(f"exponent must be finite and skip_newest >= 0, not {exponent} and {skip_newest}")
        self.exponent = exponent
        self.skip_newest = skip_newest

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        pool = view.facing(learner)
        # Until there are older snapshots, the newest ones are candidates.
        candidates = pool[: max(0, len(pool) - self.skip_newest)] or pool
        ranks = np.arange(1, len(candidates) + 1) / max(1, len(candidates))  # in (0, 1], so that powers stay small
        weights = ranks**self.exponent
        return branches_over(candidates, view, learner, "age_rank", weights / weights.sum())

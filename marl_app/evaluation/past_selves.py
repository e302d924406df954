"""How the newest of a lineage does against what it used to be: who cycles or forgets loses to somebody of its past."""

from __future__ import annotations

import numpy as np

from marl_app.league.payoff import Floats

THIRDS = ("oldest", "middle", "newest")


def scores_against_past(halves: Floats) -> dict[str, float]:
    """Mean scores against past selves: `past` (all of them), `hardest`, and the `oldest`, `middle`, `newest` third.

    `halves`: mean scores of the two halves of the matches against k past selves, the oldest first, [2, k]. Which one is
    hardest is taken from one half and how hard it is from the other, both ways: the lowest of several noisy scores
    would look harder than it is. Of fewer than three a third may be empty: NaN, as everything is for k = 0.
    """
    scores = halves.mean(axis=0)
    found = {"past": _mean(scores), "hardest": np.nan}
    if len(scores):
        found["hardest"] = float(np.mean([halves[1 - half, halves[half].argmin()] for half in (0, 1)]))
    for name, part in zip(THIRDS, np.array_split(scores, 3), strict=True):
        found[name] = _mean(part)
    return found


def _mean(scores: Floats) -> float:
    return float(scores.mean()) if len(scores) else np.nan

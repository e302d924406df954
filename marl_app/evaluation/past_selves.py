"""Scores of a learner against its earlier snapshots: a learner that cycles or forgets loses to some of them."""

from __future__ import annotations

import numpy as np

from marl_app.league.payoff import Float64s

THIRDS = ("oldest", "middle", "newest")


def scores_against_past(halves: Float64s) -> dict[str, float]:
    """Return mean scores against `past` (all snapshots), the `hardest`, and the `oldest`, `middle`, `newest` third.

    `halves`: float64 [2, k], the mean scores in the two halves of the matches against k snapshots, oldest first.
    `hardest`: one half selects the snapshot with the lowest score and the other half estimates its score, both ways,
    averaged; the minimum of several noisy scores would be biased downwards. With k < 3 some thirds are empty and NaN;
    with k = 0 everything is NaN.
    """
    scores = halves.mean(axis=0)
    means = {"past": _mean(scores), "hardest": np.nan}
    # `halves[half].argmin()` is independent of the noise in the other half.
    if len(scores):
        means["hardest"] = float(np.mean([halves[1 - half, halves[half].argmin()] for half in (0, 1)]))
    for name, part in zip(THIRDS, np.array_split(scores, 3), strict=True):
        means[name] = _mean(part)
    return means


def _mean(scores: Float64s) -> float:
    return float(scores.mean()) if len(scores) else np.nan

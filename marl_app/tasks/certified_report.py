"""The certified ranks and cycles of cross-play as columns of the tables, as JSON, and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.evaluation.certified import CONFIDENCE, Certified, MixtureRanks

UNIFORM, LOTTERY = "uniform", "lottery"
MIXTURES = (UNIFORM, LOTTERY)
OPPONENTS = {
    UNIFORM: "all other players in equal shares",
    LOTTERY: "the maximal lottery (Nash mixture) of the mean scores, which copies of a player do not change",
}
WRITTEN_CYCLES = 100  # in cross_play.json, the surest first
SHOWN_CYCLES, SHOWN_WEIGHTS = 3, 4  # in the terminal


def certified_columns(certified: Certified, index: int) -> dict[str, Any]:
    """Return the columns of one player: per mixture its mean score, the interval, and the ranks; None if not ranked."""
    columns: dict[str, Any] = {}
    for name in MIXTURES:
        ranks = _ranks(certified, name)
        # Rank 0 marks a player without opponents in this mixture: its other numbers are NaN.
        ranked = bool(ranks.best[index])
        numbers = {"score": ranks.score[index], "score_low": ranks.low[index], "score_high": ranks.high[index]}
        columns |= {f"{name}_{key}": float(value) if ranked else None for key, value in numbers.items()}
        places = {"rank_best": ranks.best[index], "rank_worst": ranks.worst[index]}
        columns |= {f"{name}_{key}": int(value) if ranked else None for key, value in places.items()}
    return {**columns, "certainly_beats": int(certified.beats[index].sum())}


def rank_text(row: Mapping[str, Any], mixture: str) -> str:
    """Return the ranks in a row of `certified_columns`: "2", "1 to 3", or "-" for a player without a rank."""
    best, worst = row[f"{mixture}_rank_best"], row[f"{mixture}_rank_worst"]
    if best is None:
        return "-"
    return str(best) if best == worst else f"{best} to {worst}"


def certified_content(names: Sequence[str], certified: Certified) -> dict[str, Any]:
    """Return what is certain about pairs and cycles of the players called `names`, and the mixtures, as JSON types."""
    return {
        "confidence": CONFIDENCE,
        "opponents": OPPONENTS,
        "lottery": lottery_weights(names, certified),
        "certainly_beats": {
            name: [names[other] for other in np.flatnonzero(certified.beats[index]).tolist()]
            for index, name in enumerate(names)
        },
        "cycles_of_three": {
            "certain": len(certified.cycles),
            "estimated": certified.estimated_cycles,
            "surest": [[names[player] for player in cycle] for cycle in certified.cycles[:WRITTEN_CYCLES]],
        },
    }


def certified_lines(names: Sequence[str], certified: Certified) -> list[str]:
    """Return sentences for the terminal: the mixtures of opponents, and the certain cycles."""
    weights = sorted(lottery_weights(names, certified).items(), key=lambda item: -item[1])
    lottery = ", ".join(f"{name} {weight:.3f}" for name, weight in weights[:SHOWN_WEIGHTS]) or "none"
    if len(weights) > SHOWN_WEIGHTS:
        lottery += f" and {len(weights) - SHOWN_WEIGHTS} more"
    # A cycle is closed by its first player: a > b > c > a.
    cycles = [" > ".join(names[player] for player in (*cycle, cycle[0])) for cycle in certified.cycles[:SHOWN_CYCLES]]
    if len(certified.cycles) > SHOWN_CYCLES:
        cycles.append("...")
    found = f"{len(certified.cycles)} certain of {certified.estimated_cycles} in the mean scores"
    return [
        f"ranks and cycles hold together with {100 * CONFIDENCE:.0f} % confidence. rank: by mean score against all "
        f"others in equal shares; lottery rank: against the Nash mixture, {lottery}",
        f"cycles of three: {found}{': ' * bool(cycles)}{'; '.join(cycles)}",
    ]


def lottery_weights(names: Sequence[str], certified: Certified) -> dict[str, float]:
    """Return the weights of the lottery by player, without those of weight 0; with a pool per side, of each side."""
    # A row has the weights of the opponents of one player; with a pool per side they are those of the other side.
    weights = certified.lottery.weights.max(axis=0, initial=0.0)
    return {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0}


def _ranks(certified: Certified, mixture: str) -> MixtureRanks:
    return {UNIFORM: certified.uniform, LOTTERY: certified.lottery}[mixture]

"""From a distribution over a pool of any size to the few opponents that fit into an env runner.

An env runner holds at most `opponent_slots` opponents at a time. `deal` picks them, and the share of matches each one
gets, so that the chance of a match against any player is exactly what the matchmaker said, on average over requests
(and in every single request if the pool fits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.payoff import Floats


@dataclass(frozen=True)
class Opponent:
    """A player to play against, and why.

    `digest` names the weights of a snapshot and is None for a learner, whose weights change. `win_rate` is the
    learner's against it when it was picked, `probability` what `rule` gave it in the matchmaker's whole distribution.
    """

    player: str
    digest: str | None
    rule: str
    win_rate: float
    probability: float


@dataclass(frozen=True, eq=False)
class Assignment:
    """What a learner plays until the next assignment: `shares` float64 [k], summing to 1, of matches per opponent.

    A player that two rules picked appears twice, once per rule, and takes one slot. `side`: the one that the learner
    plays in all of them; None: each in turn.
    """

    learner: str
    opponents: tuple[Opponent, ...]
    shares: Floats
    side: int | None = None


def deal(
    learner: str,
    branches: Sequence[Branch],
    digests: Mapping[str, str],
    opponent_slots: int,
    rng: np.random.Generator,
) -> Assignment:
    """Pick at most `opponent_slots` different players beside the learner itself, and the shares of all opponents.

    `digests` holds the snapshots by player id; everybody else is a learner. Self-play gets its exact share. If at most
    `opponent_slots` others have a positive probability, so do these. Otherwise the rest is dealt equally among
    `opponent_slots` independent draws of one of them by its probability; who is drawn twice gets two parts.

    Raises ValueError if there is somebody else to play but no slot.
    """
    opponents = _opponents(branches, digests)
    probabilities = np.array([opponent.probability for opponent in opponents])
    others = sorted({opponent.player for opponent in opponents} - {learner})
    if len(others) <= opponent_slots:
        return Assignment(learner, opponents, probabilities / probabilities.sum())
    if opponent_slots < 1:
        raise ValueError(f"{learner} is matched with {len(others)} players, but opponent_slots is {opponent_slots}")

    slot = {player: index for index, player in enumerate(others)}
    row = np.array([slot.get(opponent.player, -1) for opponent in opponents])  # -1: the learner itself
    held = row >= 0
    chances = np.bincount(row[held], probabilities[held], len(others))
    draws = rng.multinomial(opponent_slots, chances / chances.sum())
    factor = draws / opponent_slots / chances * chances.sum()  # dealt share / stated probability
    shares = probabilities * np.where(held, factor[row], 1.0)
    kept = shares.nonzero()[0]
    return Assignment(learner, tuple(opponents[i] for i in kept), shares[kept] / shares.sum())


def _opponents(branches: Sequence[Branch], digests: Mapping[str, str]) -> tuple[Opponent, ...]:
    """Everybody with a positive probability, once per (player, rule), in the order of the branches."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for branch in branches:
        joint = (branch.probability * branch.probabilities).tolist()
        for player, win_rate, probability in zip(branch.opponents, branch.win_rates.tolist(), joint, strict=True):
            if probability > 0:
                key = (player, branch.rule)
                found[key] = (win_rate, probability + found.get(key, (0.0, 0.0))[1])
    return tuple(Opponent(player, digests.get(player), rule, *rest) for (player, rule), rest in found.items())

"""Assignments: from a distribution over a pool of any size to the few opponents that fit into an env runner.

An env runner holds at most `opponent_slots` opponents at a time. `Candidates.assign` picks them, and the share of
matches against each, so that the probability of a match against any player equals the matchmaker's, on average over
requests (and in every single request if the pool fits). `placement` says how far it may bend that distribution.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.payoff import Floats
from marl_app.league.placement import prefer_held, total_variation


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
    plays in all of them; None: each in turn. `distortion` is the total variation distance between the distribution that
    this was dealt from and the matchmaker's.
    """

    learner: str
    opponents: tuple[Opponent, ...]
    shares: Floats
    side: int | None = None
    distortion: float = 0.0


class Candidates:
    """Everybody whom a learner may meet, as the matchmaker says: worked out once, dealt from many times.

    `digests` holds the snapshots by player id; everybody else is a learner. `side`: the one that the learner plays.
    """

    def __init__(
        self, learner: str, branches: Sequence[Branch], digests: Mapping[str, str], side: int | None = None
    ) -> None:
        self.learner = learner
        self._side = side
        self._keys, self._win_rates, self._probabilities = _merged(branches)
        self._digests = [digests.get(player) for player, _ in self._keys]
        self._snapshots = np.flatnonzero([digest is not None for digest in self._digests])
        known = [self._digests[place] for place in self._snapshots]
        self._blobs = {digest: number for number, digest in enumerate(dict.fromkeys(known))}
        self._blob = np.array([self._blobs[digest] for digest in known], np.int64)  # of each of `_snapshots`
        self._others = sorted({player for player, _ in self._keys} - {learner})
        other = {player: index for index, player in enumerate(self._others)}
        self._other = np.array([other.get(player, -1) for player, _ in self._keys])  # -1: the learner itself
        self._not_itself = self._other >= 0
        self._those = np.flatnonzero(self._not_itself)
        self._chances = self._of_others(self._probabilities)
        self._opponents: dict[int, Opponent] = {}

    def assign(
        self, opponent_slots: int, rng: np.random.Generator, held: Collection[str] = (), tolerance: float = 0.0
    ) -> Assignment:
        """Pick at most `opponent_slots` different players beside the learner itself, and the shares of all opponents.

        Self-play gets its exact share. If at most `opponent_slots` others have a positive probability, so do these.
        Otherwise the rest is dealt equally among `opponent_slots` independent draws of one of them by its probability;
        who is drawn twice gets two parts.

        With a `tolerance` in [0, 1], snapshots whose digests are `held` are preferred to others by
        `placement.prefer_held`; self-play and other learners keep their shares.

        Raises ValueError if there is somebody else to play but no slot.
        """
        if opponent_slots < 1 and self._others:
            players = f"{self.learner} is matched with {len(self._others)} players"
            raise ValueError(f"{players}, but opponent_slots is {opponent_slots}")
        probabilities, chances, distortion = self._probabilities, self._chances, 0.0
        if tolerance and held:
            probabilities = self._placed(held, tolerance)
            chances, distortion = self._of_others(probabilities), total_variation(probabilities, self._probabilities)
        if len(self._others) <= opponent_slots:
            kept = probabilities.nonzero()[0]
            shares = probabilities[kept] / probabilities.sum()
            return Assignment(self.learner, self._named(kept.tolist()), shares, self._side, distortion)
        total = chances.sum()
        draws = rng.multinomial(opponent_slots, chances / total)
        kept = np.where(self._not_itself, draws[self._other], 1).nonzero()[0]
        who, shares, drawn = self._other[kept], probabilities[kept], self._not_itself[kept]
        who = who[drawn]
        shares[drawn] *= draws[who] / opponent_slots / chances[who] * total  # dealt share / stated probability
        return Assignment(self.learner, self._named(kept.tolist()), shares / shares.sum(), self._side, distortion)

    def _of_others(self, probabilities: Floats) -> Floats:
        """The probability of each of `_others`, whatever the rule."""
        them = self._those
        return np.bincount(self._other[them], probabilities[them], len(self._others)).astype(np.float64, copy=False)

    def _placed(self, held: Collection[str], tolerance: float) -> Floats:
        at_hand = np.zeros(len(self._blobs), np.bool_)
        at_hand[[self._blobs[digest] for digest in held if digest in self._blobs]] = True
        bent = self._probabilities.copy()
        bent[self._snapshots] = prefer_held(bent[self._snapshots], at_hand[self._blob], tolerance)
        return bent

    def _named(self, places: Iterable[int]) -> tuple[Opponent, ...]:
        for place in places:
            if place not in self._opponents:
                (player, rule), digest = self._keys[place], self._digests[place]
                win_rate, probability = float(self._win_rates[place]), float(self._probabilities[place])
                self._opponents[place] = Opponent(player, digest, rule, win_rate, probability)
        return tuple(self._opponents[place] for place in places)


def _merged(branches: Sequence[Branch]) -> tuple[list[tuple[str, str]], Floats, Floats]:
    """Everybody with a positive probability, once per (player, rule), in the order of the branches; the win rates and
    the probabilities."""
    keys = [(player, branch.rule) for branch in branches for player in branch.opponents]
    win_rates = np.concatenate([branch.win_rates for branch in branches])
    probabilities = np.concatenate([branch.probability * branch.probabilities for branch in branches])
    possible = probabilities > 0
    if not possible.all():
        keys = [key for key, yes in zip(keys, possible.tolist(), strict=True) if yes]
        win_rates, probabilities = win_rates[possible], probabilities[possible]
    place = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    if len(place) < len(keys):
        rows = np.array([place[key] for key in keys])
        probabilities = np.bincount(rows, probabilities, len(place))
        win_rates = win_rates[np.unique(rows, return_index=True)[1]]
        keys = list(place)
    return keys, win_rates, probabilities

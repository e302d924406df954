"""Assignments: from a distribution over a pool of any size to the few opponents that fit into an env runner.

An env runner holds at most `opponent_slots` opponents at a time. `Candidates.draw` picks them, and the share of
matches against each, so that the probability of a match against any player equals the matchmaker's, on average over
requests (and in every single request if the pool fits). `placement` says how far it may bend that distribution.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.payoff import Float64s
from marl_app.league.placement import prefer_held, total_variation


@dataclass(frozen=True)
class Opponent:
    """An opponent of an assignment, and why it was picked.

    `digest` names the weights of a snapshot and is None for a learner, whose weights change. `win_rate` is the
    learner's against the opponent when it was picked; `probability` is that of (`rule`, `player`) in the matchmaker's
    whole distribution.
    """

    player: str
    digest: str | None
    rule: str
    win_rate: float
    probability: float


@dataclass(frozen=True, eq=False)
class Assignment:
    """The opponents of a learner until the next assignment; `shares` float64 [k], summing to 1, of its matches.

    A player that two rules picked appears twice, once per rule, and takes one slot. `side` is the side that the learner
    plays in all matches; None: all sides in turn. `distortion` is the total variation distance between the distribution
    that the opponents were drawn from and the matchmaker's.
    """

    learner: str
    opponents: tuple[Opponent, ...]
    shares: Float64s
    side: int | None = None
    distortion: float = 0.0


class Candidates:
    """The matchmaker's distribution for one learner, prepared once so that many assignments can be drawn from it.

    `digests` maps the ids of snapshots to their digests; all other players are learners. `side` is the learner's.

    An entry is a pair (player, rule) with a positive probability; there are k entries.
    """

    def __init__(
        self, learner: str, branches: Sequence[Branch], digests: Mapping[str, str], side: int | None = None
    ) -> None:
        self.learner = learner
        self._side = side
        self._entries, self._win_rates, self._probabilities = _merge(branches)
        self._digests = [digests.get(player) for player, _ in self._entries]
        # [s] entries that are snapshots. Several entries may share a digest: by two rules, or frozen twice unchanged.
        self._snapshot_entries = np.flatnonzero([digest is not None for digest in self._digests])
        snapshot_digests = [self._digests[entry] for entry in self._snapshot_entries]
        self._digest_index = {digest: index for index, digest in enumerate(dict.fromkeys(snapshot_digests))}
        # [s] index of the digest of each of `_snapshot_entries`
        self._entry_digest = np.array([self._digest_index[digest] for digest in snapshot_digests], np.int64)
        self._others = sorted({player for player, _ in self._entries} - {learner})
        other_index = {player: index for index, player in enumerate(self._others)}
        # [k] index in `_others` of each entry's player; -1 for the learner itself, which needs no slot
        self._entry_other = np.array([other_index.get(player, -1) for player, _ in self._entries])
        self._is_other = self._entry_other >= 0  # [k] bool
        self._other_entries = np.flatnonzero(self._is_other)
        self._other_probabilities = self._sum_by_other(self._probabilities)
        self._opponents: dict[int, Opponent] = {}  # by entry, made when an assignment first contains it

    def draw(
        self, opponent_slots: int, rng: np.random.Generator, held: Collection[str] = (), tolerance: float = 0.0
    ) -> Assignment:
        """Pick at most `opponent_slots` different players other than the learner, and the shares of all opponents.

        Self-play gets its exact share. If at most `opponent_slots` others have a positive probability, they get their
        exact shares too. Otherwise `opponent_slots` players are drawn independently, by their probabilities and with
        replacement, and each draw gets an equal part of the share that remains.

        With a `tolerance` in [0, 1], snapshots whose digests are `held` are preferred to others by
        `placement.prefer_held`; self-play and other learners keep their shares.

        Raises ValueError if the learner is matched with other players but `opponent_slots` is 0.
        """
        if opponent_slots < 1 and self._others:
            players = f"{self.learner} is matched with {len(self._others)} players"
            raise ValueError(f"{players}, but opponent_slots is {opponent_slots}")
        probabilities, other_probabilities, distortion = self._probabilities, self._other_probabilities, 0.0
        if tolerance and held:
            probabilities = self._prefer_held(held, tolerance)
            other_probabilities = self._sum_by_other(probabilities)
            distortion = total_variation(probabilities, self._probabilities)
        # Everything fits. At tolerance 1 a preference can lower probabilities to 0, so the zeros are left out again.
        if len(self._others) <= opponent_slots:
            kept = probabilities.nonzero()[0]
            shares = probabilities[kept] / probabilities.sum()
            return Assignment(self.learner, self._opponents_at(kept.tolist()), shares, self._side, distortion)
        total = other_probabilities.sum()
        draws = rng.multinomial(opponent_slots, other_probabilities / total)  # [others] how often each was drawn
        # Entries of drawn players and of the learner itself. The index -1 of the learner reads the last element of
        # `draws`, which `where` then ignores.
        kept = np.where(self._is_other, draws[self._entry_other], 1).nonzero()[0]
        others, shares, is_other = self._entry_other[kept], probabilities[kept], self._is_other[kept]
        others = others[is_other]
        # Scale each player by drawn share / probability: several entries of a player keep their proportions.
        shares[is_other] *= draws[others] / opponent_slots / other_probabilities[others] * total
        opponents = self._opponents_at(kept.tolist())
        return Assignment(self.learner, opponents, shares / shares.sum(), self._side, distortion)

    def _sum_by_other(self, probabilities: Float64s) -> Float64s:
        """Return the probability of each of `_others`, summed over rules."""
        entries = self._other_entries
        sums = np.bincount(self._entry_other[entries], probabilities[entries], len(self._others))
        return sums.astype(np.float64, copy=False)  # bincount of no entries is of integers

    def _prefer_held(self, held: Collection[str], tolerance: float) -> Float64s:
        """Return the probabilities [k] with a preference for snapshots whose digests are `held`."""
        digest_held = np.zeros(len(self._digest_index), np.bool_)
        digest_held[[self._digest_index[digest] for digest in held if digest in self._digest_index]] = True
        changed = self._probabilities.copy()
        snapshots = self._snapshot_entries
        changed[snapshots] = prefer_held(changed[snapshots], digest_held[self._entry_digest], tolerance)
        return changed

    def _opponents_at(self, entries: Iterable[int]) -> tuple[Opponent, ...]:
        """Return the opponents of these entries; each is made once."""
        for entry in entries:
            if entry not in self._opponents:
                (player, rule), digest = self._entries[entry], self._digests[entry]
                win_rate, probability = float(self._win_rates[entry]), float(self._probabilities[entry])
                self._opponents[entry] = Opponent(player, digest, rule, win_rate, probability)
        return tuple(self._opponents[entry] for entry in entries)


def _merge(branches: Sequence[Branch]) -> tuple[list[tuple[str, str]], Float64s, Float64s]:
    """Return the (player, rule) pairs with a positive probability, their win rates [k] and probabilities [k].

    Each pair appears once, in the order of the branches; probabilities of equal pairs are added.
    """
    entries = [(player, branch.rule) for branch in branches for player in branch.opponents]
    win_rates = np.concatenate([branch.win_rates for branch in branches])
    probabilities = np.concatenate([branch.probability * branch.probabilities for branch in branches])
    # Leave out entries that are never drawn.
    possible = probabilities > 0
    if not possible.all():
        entries = [entry for entry, positive in zip(entries, possible.tolist(), strict=True) if positive]
        win_rates, probabilities = win_rates[possible], probabilities[possible]
    # Add up equal pairs, which a mix of rules may contain several times.
    index = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    if len(index) < len(entries):
        rows = np.array([index[entry] for entry in entries])
        probabilities = np.bincount(rows, probabilities, len(index))
        win_rates = win_rates[np.unique(rows, return_index=True)[1]]  # of the first of equal pairs
        entries = list(index)
    return entries, win_rates, probabilities

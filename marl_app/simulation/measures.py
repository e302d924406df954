"""Measures of a matchmaker, from the matches of one learner.

- Coverage, `Window`: the share of the pool that the learner met in a window of matches, and the effective number of
  opponents.
- Detection of a weakness, `IntruderHunt`: an intruder joins the pool with a trick that beats players without knowledge
  of it; how long until the learner meets it and beats it?
- Forgetting, `Forgetting`: a snapshot counts as beaten once the win rate against it reaches BEATEN, and as forgotten
  when the win rate falls below 0.5 again.

Win rates here are the true probabilities, which only a simulation has. All times are matches of that learner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.league.payoff import Float64s
from marl_app.league.standing import perplexity

BEATEN = 0.6


@dataclass(frozen=True)
class Window:
    """A window of matches that ends after `matches` matches, with `snapshots` in the pool.

    coverage: share of snapshots met, among those in the pool during the whole window; None without any.
    effective_opponents: exponential of the entropy of the opponents' frequencies, self-play included. pool_win_rate,
    hardest_win_rate: mean and minimum of the win rates against the pool at the end.
    """

    matches: int
    snapshots: int
    coverage: float | None
    effective_opponents: float
    pool_win_rate: float
    hardest_win_rate: float

    @classmethod
    def measure(cls, matches: int, met: Mapping[str, int], before: Sequence[str], win_rates: Float64s) -> Window:
        """Make a window.

        met: opponent -> matches in the window. before: snapshots in the pool during the whole window. win_rates [k]:
        against the pool at the end.
        """
        # [opponents] matches of those that were met.
        counts = np.array(list(met.values()), np.float64)
        coverage = sum(1 for player in before if met.get(player)) / len(before) if before else None
        mean, least = float(win_rates.mean()), float(win_rates.min())
        return cls(matches, len(win_rates), coverage, perplexity(counts / counts.sum()), mean, least)


@dataclass
class IntruderHunt:
    """The matches after which the intruder joined, was first met, and first beaten (win rate >= 0.5, met or not)."""

    joined: int | None = None
    met: int | None = None
    beaten: int | None = None

    def record(self, matches: int, met: bool, win_rate: float) -> None:
        """Record the state after `matches` matches; `met`: the intruder was among the latest opponents."""
        if met and self.met is None:
            self.met = matches
        if win_rate >= 0.5 and self.beaten is None:
            self.beaten = matches

    @property
    def found_after(self) -> int | None:
        """Matches from joining until it was first met; None = never."""
        return None if self.joined is None or self.met is None else self.met - self.joined

    @property
    def beaten_after(self) -> int | None:
        """Matches from joining until it was first beaten; None = never."""
        return None if self.joined is None or self.beaten is None else self.beaten - self.joined


class Forgetting:
    """The time for which beaten snapshots stay beaten; see the module.

    A snapshot that is beaten again after it was forgotten counts again. Snapshots that leave the pool are censored.
    """

    def __init__(self) -> None:
        self._since: dict[str, int] = {}  # snapshots beaten now -> matches when they were beaten
        self._finished = 0  # total matches that snapshots no longer beaten (or gone) stayed beaten
        self.beaten = 0
        self.forgotten = 0

    def record(self, matches: int, win_rates: Mapping[str, float]) -> None:
        """Record the win rates against the pool after `matches` matches."""
        # 1. Snapshots that were beaten, and are not any more: their time ends. One that has left counts as win rate 0.
        for player in [player for player in self._since if win_rates.get(player, 0.0) < 0.5]:
            self._finished += matches - self._since.pop(player)
            # A snapshot that has left the pool contributes time, but was not forgotten.
            self.forgotten += player in win_rates
        # 2. Snapshots that are beaten from here on.
        for player, win_rate in win_rates.items():
            if win_rate >= BEATEN and player not in self._since:
                self._since[player] = matches
                self.beaten += 1

    def mean_time(self, matches: int) -> float | None:
        """Return the mean forgetting time after `matches` matches; None if no snapshot was forgotten.

        This is the total time that snapshots stayed beaten, per forgotten snapshot: the maximum-likelihood estimate of
        the mean of exponential times, some of which are censored because they have not ended.
        """
        total = self._finished + sum(matches - since for since in self._since.values())
        return total / self.forgotten if self.forgotten else None


def count_matches(opponents: Sequence[str], matches: Sequence[int]) -> Counter[str]:
    """Return opponent -> matches, without opponents that were not met."""
    met: Counter[str] = Counter()
    for opponent, count in zip(opponents, matches, strict=True):
        if count:
            met[opponent] += count
    return met

"""What is asked of a matchmaker, told from the matches of one learner.

- Whom does it meet? `Window`: in a stretch of matches, the share of the pool that was met, and how many different
  opponents that amounts to.
- Does it find a weakness? `IntruderHunt`: an intruder joins the pool who beats whoever has not met its trick.
- Does it forget? `Forgetting`: a snapshot is beaten once the win rate against it reaches BEATEN, and forgotten when
  that falls below 0.5 again.

Win rates here are the true ones, which only a simulation knows. All times are matches of that learner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.league.payoff import Floats
from marl_app.league.standing import perplexity

BEATEN = 0.6


@dataclass(frozen=True)
class Window:
    """A stretch of matches that ends after `matches` of them; `snapshots` are in the pool then.

    `coverage`: share of the snapshots that were there all the time which were met, None if there were none.
    `effective_opponents`: the exponential of the entropy of how often each opponent was met, the learner itself
    included. `pool_win_rate` and `hardest_win_rate`: the mean and the least win rate against the pool at its end.
    """

    matches: int
    snapshots: int
    coverage: float | None
    effective_opponents: float
    pool_win_rate: float
    hardest_win_rate: float

    @classmethod
    def measure(cls, matches: int, met: Mapping[str, int], before: Sequence[str], win_rates: Floats) -> Window:
        """`met`: matches by opponent; `before`: the snapshots all the time there; `win_rates` [k] against the pool."""
        counts = np.array(list(met.values()), np.float64)
        coverage = sum(1 for player in before if met.get(player)) / len(before) if before else None
        mean, least = float(win_rates.mean()), float(win_rates.min())
        return cls(matches, len(win_rates), coverage, perplexity(counts / counts.sum()), mean, least)


@dataclass
class IntruderHunt:
    """When the intruder joined, was first met, and was first beaten (a win rate of at least 0.5, met or not)."""

    joined: int | None = None
    met: int | None = None
    beaten: int | None = None

    def record(self, matches: int, met: bool, win_rate: float) -> None:
        """Note how it stands after so many matches, some of the last of them against the intruder if `met`."""
        if met and self.met is None:
            self.met = matches
        if win_rate >= 0.5 and self.beaten is None:
            self.beaten = matches

    @property
    def found_after(self) -> int | None:
        """Matches until it was met; None: never."""
        return None if self.joined is None or self.met is None else self.met - self.joined

    @property
    def beaten_after(self) -> int | None:
        """Matches until it was beaten; None: never."""
        return None if self.joined is None or self.beaten is None else self.beaten - self.joined


class Forgetting:
    """How long what was beaten stays beaten; see the module.

    A snapshot that is beaten again after it was forgotten counts anew. Who leaves the pool is watched no more.
    """

    def __init__(self) -> None:
        self._since: dict[str, int] = {}  # who is beaten, and since how many matches
        self._held = 0
        self.beaten = 0
        self.forgotten = 0

    def record(self, matches: int, win_rates: Mapping[str, float]) -> None:
        """Note the win rates against the pool after so many matches."""
        for player in [player for player in self._since if win_rates.get(player, 0.0) < 0.5]:
            self._held += matches - self._since.pop(player)
            self.forgotten += player in win_rates
        for player, win_rate in win_rates.items():
            if win_rate >= BEATEN and player not in self._since:
                self._since[player] = matches
                self.beaten += 1

    def mean_time(self, matches: int) -> float | None:
        """The forgetting time: matches that snapshots stayed beaten, all together, per one that was forgotten.

        With what is still beaten after `matches` in it, it is the mean time until a snapshot is forgotten if that is as
        likely at any time (the maximum-likelihood estimate for censored exponential times). None: none was forgotten.
        """
        held = self._held + sum(matches - since for since in self._since.values())
        return held / self.forgotten if self.forgotten else None


def count_matches(opponents: Sequence[str], matches: Sequence[int]) -> Counter[str]:
    """Matches by opponent, without those that were not met."""
    met: Counter[str] = Counter()
    for opponent, count in zip(opponents, matches, strict=True):
        if count:
            met[opponent] += count
    return met

"""What a matchmaker is: from the state of the league to a distribution over opponents.

AlphaStar's players (Vinyals et al., 2019) return one opponent per call (`get_match`). Here thousands of matches are
assigned per request, so a matchmaker states its whole distribution instead, exactly, as branches: which rule applies
with which probability, and whom it then picks. Nothing random happens here, and every match can say why it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marl_app.league.payoff import Floats
from marl_app.league.players import Snapshot
from marl_app.league.view import LeagueView

SELF_PLAY = "self_play"


@dataclass(frozen=True, eq=False)
class Branch:
    """One way to find an opponent: with `probability` apply `rule`, which picks `opponents[i]` with `probabilities[i]`.

    `opponents` are k >= 1 player ids; `win_rates` [k], the learner's against them, and `probabilities` [k], which sum
    to 1, are float64.
    """

    rule: str
    probability: float
    opponents: tuple[str, ...]
    win_rates: Floats
    probabilities: Floats


class Matchmaker(Protocol):
    """A rule that says whom a learner plays, as a distribution."""

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        """The distribution over opponents of the learner with this id. The branches' probabilities sum to 1."""
        ...


def self_play(learner: str) -> list[Branch]:
    """The learner plays itself."""
    return [Branch(SELF_PLAY, 1.0, (learner,), np.array([0.5]), np.array([1.0]))]


def against(
    candidates: Sequence[Snapshot], view: LeagueView, learner: str, rule: str, weigh: Callable[[Floats], Floats]
) -> list[Branch]:
    """One branch over `candidates`, weighed by the learner's win rates; self-play while there are no candidates.

    `weigh` maps win rates [k] to probabilities [k]. Every rule that needs snapshots goes through here, so an empty
    pool means the same for all of them.
    """
    if not candidates:
        return self_play(learner)
    opponents = tuple(snapshot.player.id for snapshot in candidates)
    win_rates = view.payoff.win_rates(learner, opponents)
    return [Branch(rule, 1.0, opponents, win_rates, weigh(win_rates))]

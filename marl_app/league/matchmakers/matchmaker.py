"""What a matchmaker is: from the state of the league to a distribution over opponents.

AlphaStar's players (Vinyals et al., 2019) return one opponent per call (`get_match`). Here thousands of matches are
assigned per request, so a matchmaker states its whole distribution instead, exactly, as branches: which rule applies
with which probability, and whom it then picks. Nothing random happens here, and every match can say why it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from marl_app.league.outcomes import Outcomes
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


@runtime_checkable
class Adaptive(Matchmaker, Protocol):
    """A matchmaker that learns from results. The league tells it all of them, and saves what it has learned.

    Few rules need this: the payoff already remembers who beat whom.
    """

    def record(self, view: LeagueView, outcomes: Outcomes) -> None:
        """Learn from results that the league has just counted."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What was learned, as JSON types."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        ...


def save_states(matchmakers: Sequence[Matchmaker]) -> dict[str, Any]:
    """What the adaptive ones of these have learned, by their place and class."""
    return {name: matchmaker.state_dict() for name, matchmaker in _adaptive(matchmakers).items()}


def load_states(matchmakers: Sequence[Matchmaker], states: Mapping[str, Any]) -> None:
    """Restore what `save_states` returned; a matchmaker without a saved state starts without any."""
    for name, matchmaker in _adaptive(matchmakers).items():
        if name in states:
            matchmaker.load_state_dict(states[name])


def _adaptive(matchmakers: Sequence[Matchmaker]) -> dict[str, Adaptive]:
    return {f"{i}_{type(m).__name__}": m for i, m in enumerate(matchmakers) if isinstance(m, Adaptive)}


def scaled(branches: Sequence[Branch], probability: float) -> list[Branch]:
    """The same branches as a part of something larger, which they are with `probability`; none if that is 0."""
    return [replace(b, probability=probability * b.probability) for b in branches] if probability > 0 else []


def self_play(view: LeagueView, learner: str) -> list[Branch]:
    """The learner plays itself; where each side has players of its own, the main agents of the other as they are."""
    if view.learner(learner).side is None:
        return [Branch(SELF_PLAY, 1.0, (learner,), np.array([0.5]), np.array([1.0]))]
    mains = view.main_agents_facing(learner)
    return [Branch(SELF_PLAY, 1.0, mains, view.payoff.win_rates(learner, mains), np.full(len(mains), 1 / len(mains)))]


def branches_over(
    candidates: Sequence[Snapshot], view: LeagueView, learner: str, rule: str, probabilities: Floats
) -> list[Branch]:
    """Return one branch over `candidates` with `probabilities` [k]; self-play if there are no candidates.

    Rules that need snapshots use this function or `branches_by_win_rate`, so all of them treat an empty pool alike.
    """
    if not candidates:
        return self_play(view, learner)
    opponents = tuple(snapshot.player.id for snapshot in candidates)
    return [Branch(rule, 1.0, opponents, view.payoff.win_rates(learner, opponents), probabilities)]


def branches_by_win_rate(
    candidates: Sequence[Snapshot], view: LeagueView, learner: str, rule: str, weigh: Callable[[Floats], Floats]
) -> list[Branch]:
    """Like `branches_over`, where `weigh` maps the learner's win rates [k] to probabilities [k]."""
    if not candidates:
        return self_play(view, learner)
    opponents = tuple(snapshot.player.id for snapshot in candidates)
    win_rates = view.payoff.win_rates(learner, opponents)
    return [Branch(rule, 1.0, opponents, win_rates, weigh(win_rates))]


def uniform(candidates: Sequence[Snapshot]) -> Floats:
    """Return equal probabilities [k] for k candidates."""
    return np.full(len(candidates), 1 / max(1, len(candidates)))

"""The protocol of matchmakers: from the state of the league to a distribution over opponents.

AlphaStar's players (Vinyals et al., 2019) return one opponent per call (`get_match`). Here thousands of matches are
assigned per request, so a matchmaker returns its exact distribution instead, as branches: a rule, the probability of
the rule, and its distribution over opponents. Matchmakers draw no random numbers, and every match records its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from marl_app.league.outcomes import Outcomes
from marl_app.league.payoff import Float64s
from marl_app.league.players import Snapshot
from marl_app.league.view import LeagueView

SELF_PLAY = "self_play"


@dataclass(frozen=True, eq=False)
class Branch:
    """One rule of a matchmaker: with `probability` > 0, `rule` picks `opponents[i]` with `probabilities[i]`.

    `opponents` are k >= 1 player ids; `win_rates` float64 [k] are the learner's against them; `probabilities` float64
    [k] sum to 1.
    """

    rule: str
    probability: float
    opponents: tuple[str, ...]
    win_rates: Float64s
    probabilities: Float64s


class Matchmaker(Protocol):
    """A rule that returns the distribution over the opponents of a learner."""

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        """Return the distribution over opponents of the learner with this id; branch probabilities sum to 1."""
        ...


@runtime_checkable
class Adaptive(Matchmaker, Protocol):
    """A matchmaker that learns from results. The league passes all results to it, and saves its state.

    Few rules need this, because the payoff already stores the results of each pair.
    """

    def record(self, view: LeagueView, outcomes: Outcomes) -> None:
        """Learn from results that the league has just counted."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON types."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        ...


def save_states(matchmakers: Sequence[Matchmaker]) -> dict[str, Any]:
    """Return the states of the adaptive matchmakers, by index and class name, such as `"1_OpenAIFive"`."""
    return {name: matchmaker.state_dict() for name, matchmaker in _adaptive(matchmakers).items()}


def load_states(matchmakers: Sequence[Matchmaker], states: Mapping[str, Any]) -> None:
    """Restore the states that `save_states` returned.

    Rules may change at a resume: matchmakers without a saved state keep their initial one; other states are ignored.
    """
    for name, matchmaker in _adaptive(matchmakers).items():
        if name in states:
            matchmaker.load_state_dict(states[name])


def _adaptive(matchmakers: Sequence[Matchmaker]) -> dict[str, Adaptive]:
    # Index and class: a saved state is restored only to the same rule at the same place.
    return {f"{i}_{type(m).__name__}": m for i, m in enumerate(matchmakers) if isinstance(m, Adaptive)}


def scaled(branches: Sequence[Branch], probability: float) -> list[Branch]:
    """Return the branches with their probabilities times `probability`; no branches if that is 0."""
    return [replace(b, probability=probability * b.probability) for b in branches] if probability > 0 else []


def self_play(view: LeagueView, learner: str) -> list[Branch]:
    """Return the branch of self-play: against the learner itself or, with a pool per side, current main agents."""
    if view.learner(learner).side is None:
        return [Branch(SELF_PLAY, 1.0, (learner,), np.array([0.5]), np.array([1.0]))]
    # A learner of a side cannot play itself: the current main agents of the other side, with equal probabilities.
    mains = view.main_agents_facing(learner)
    return [Branch(SELF_PLAY, 1.0, mains, view.payoff.win_rates(learner, mains), np.full(len(mains), 1 / len(mains)))]


def branches_over(
    candidates: Sequence[Snapshot], view: LeagueView, learner: str, rule: str, probabilities: Float64s
) -> list[Branch]:
    """Return one branch over `candidates` with `probabilities` [k]; self-play if there are no candidates.

    Rules that need snapshots use this function or `branches_by_win_rate`, so all of them treat an empty pool alike.
    """
    if not candidates:
        return self_play(view, learner)
    opponents = tuple(snapshot.player.id for snapshot in candidates)
    return [Branch(rule, 1.0, opponents, view.payoff.win_rates(learner, opponents), probabilities)]


def branches_by_win_rate(
    candidates: Sequence[Snapshot], view: LeagueView, learner: str, rule: str, weigh: Callable[[Float64s], Float64s]
) -> list[Branch]:
    """Like `branches_over`, where `weigh` maps the learner's win rates [k] to probabilities [k]."""
    if not candidates:
        return self_play(view, learner)
    opponents = tuple(snapshot.player.id for snapshot in candidates)
    win_rates = view.payoff.win_rates(learner, opponents)
    return [Branch(rule, 1.0, opponents, win_rates, weigh(win_rates))]


def uniform(candidates: Sequence[Snapshot]) -> Float64s:
    """Return equal probabilities [k] for k candidates."""
    return np.full(len(candidates), 1 / max(1, len(candidates)))

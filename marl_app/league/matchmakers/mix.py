"""A mix of rules: each match first draws a rule by its probability, then the rule draws the opponent.

OpenAI Five (Berner et al., 2019) plays 80% of its games against the latest version and 20% against past versions;
AlphaStar's main agents (Vinyals et al., 2019) play about half their games by PFSP. Both are mixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from marl_app.league.matchmakers.matchmaker import Adaptive, Branch, Matchmaker, load_states, save_states, scaled
from marl_app.league.outcomes import Outcomes
from marl_app.league.view import LeagueView


class Rule(TypedDict):
    """One part of a mix, as a dictionary of the YAML file."""

    probability: float
    matchmaker: Matchmaker


class Mix:
    """A matchmaker made of other matchmakers; mixes can be nested.

    Raises ValueError unless each rule has both keys, and the probabilities are >= 0 and sum to 1 (within 1e-6).
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        for rule in rules:
            if rule.keys() != Rule.__annotations__.keys():
                raise ValueError(
                    f"each of the rules has the keys {', '.join(Rule.__annotations__)}, not {', '.join(rule)}"
                )
        probabilities = [float(rule["probability"]) for rule in rules]
        if not all(p >= 0 for p in probabilities) or not abs(sum(probabilities) - 1) <= 1e-6:
            raise ValueError(f"the probabilities of a mix must be >= 0 and sum to 1, not {probabilities}")
        # Normalized, so that rounded values such as 0.3333333 sum to 1.
        self.rules = [
            (p / sum(probabilities), rule["matchmaker"]) for p, rule in zip(probabilities, rules, strict=True)
        ]

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        return [
            branch
            for probability, matchmaker in self.rules
            if probability > 0
            for branch in scaled(matchmaker.branches(view, learner), probability)
        ]

    def record(self, view: LeagueView, outcomes: Outcomes) -> None:
        """Pass results to the adaptive rules."""
        for _, matchmaker in self.rules:
            if isinstance(matchmaker, Adaptive):
                matchmaker.record(view, outcomes)

    def state_dict(self) -> dict[str, Any]:
        return save_states([matchmaker for _, matchmaker in self.rules])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_states([matchmaker for _, matchmaker in self.rules], state)

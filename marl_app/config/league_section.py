"""The keys of `league`: learners, pool, matchmaking and freezes."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from marl_app.config.errors import ConfigError
from marl_app.config.section import Section, key
from marl_app.league.players import LINEAGE, MAIN_AGENT, ROLES

Leaf = dict[str, Any]


@dataclass
class LearnerConfig(Section):
    """A learner of the league. Its name is its lineage: the snapshots of `main` are `main@0000`, `main@0001`, ..."""

    path: ClassVar[str] = "league.learners.<name>"
    role: str = key(
        "What it trains for: main_agent = robustness against every opponent | main_exploiter = weaknesses of the "
        "current main agents | league_exploiter = weaknesses of the whole pool.",
        default=MAIN_AGENT,
        choices=ROLES,
    )
    share: float = key("Share of the env steps, relative to the shares of the other learners.", default=1.0, above=0)
    reset_to: str = key(
        "What an exploiter restarts from after a freeze: initial = the weights that training began with | a snapshot, "
        "such as main@0003 | a lineage: its newest snapshot | never: it continues.",
        default="initial",
        pattern=f"initial|never|{LINEAGE}(@[0-9]{{4,}})?",
    )
    side: int | None = key(
        "Side that it plays, 0 or 1, against players of the other side: for games of two sides that differ, and then "
        "set for all learners. null = every side in turn.",
        default=None,
        at_least=0,
        at_most=1,
    )


@dataclass
class LeagueConfig(Section):
    """The league: learners, pool, matchmaking, and when a learner is frozen into the pool."""

    path: ClassVar[str] = "league"
    learners: dict[str, Any] = key(
        "Learners by name. The first is evaluated and shown in curves.", entries=LearnerConfig
    )
    guests: dict[str, str] = key(
        "Additional members of the pool by name: a player of another run (DIR, DIR:main@0003), a packed player "
        "(agent.marl), a digest in the store, random, mcts_<simulations>, or the class of a bot (package.module.Class)."
    )
    turn: int = key(
        "Iterations that a learner trains before the next learner's turn; unfinished matches are then cut off.",
        at_least=1,
    )
    decay_per_game: float = key(
        "Weight of an old game in a win rate after one more game of the same pair; 1 = no decay.",
        above=0,
        at_most=1,
    )
    freeze: str = key(
        "What is evaluated, frozen and saved as the player of a learner: its weights | the average of its weights.",
        choices=("weights", "average"),
    )
    average_rate: float = key(
        "Weight of the new weights in the average, after every update. Only with freeze=average.", above=0, at_most=1
    )
    pool_limit: int | None = key("Largest number of snapshots in the pool; null = no limit.", at_least=1)
    sims_per_entry: int | None = key(
        "Matches between each two snapshots, for the payoff that the meta-strategy is solved from, played in parallel "
        "with training after a freeze; exact in small games. With more than two sides: matches of each lineup. null = "
        "the payoff is that of the matches played in training.",
        at_least=2,
    )
    placement_tolerance: float = key(
        "How far assignments prefer snapshots that the env runner or its rack's cache holds: the share of the "
        "probability of the other snapshots that moves to these; 0 = exactly the matchmaker's probabilities.",
        at_least=0,
        at_most=0.99,
    )
    matchmaker: Leaf = key("Rule that picks the opponent of a match.")
    meta: Leaf = key("Meta-strategy: the distribution over the pool with which the league as a whole plays.")
    schedule: Leaf = key("When the learner is frozen into the pool.")
    thinning: Leaf = key("Which snapshots leave a pool that exceeds its limit.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.learners:
            raise ConfigError(
                "league.learners is empty: give at least one, such as +league.learners.main={role: main_agent}"
            )
        # Entries are checked here: OmegaConf does not check the values of a mapping of free names.
        self.learners = {name: _learner(name, content) for name, content in self.learners.items()}
        for name in self.guests:
            if not re.fullmatch(LINEAGE, name):
                raise ConfigError(f"league.guests.{name} is not allowed: give a name that matches {LINEAGE}")
            if name in self.learners:
                raise ConfigError(f"league.guests.{name} has the name of a learner: give another name")


def _learner(name: str, content: Any) -> LearnerConfig:
    """Return the section of an entry of `league.learners`. Raises ConfigError, naming the learner."""
    keys = [item.name for item in fields(LearnerConfig)]
    if not re.fullmatch(LINEAGE, name):
        raise ConfigError(f"league.learners.{name} is not allowed: give a name that matches {LINEAGE}")
    if not isinstance(content, dict) or content.keys() - set(keys):
        raise ConfigError(
            f"league.learners.{name}={content} is not allowed: give {{role: ...}}; keys: {', '.join(keys)}"
        )
    try:
        return LearnerConfig(**content)
    except ConfigError as error:
        raise ConfigError(str(error).replace("<name>", name)) from error

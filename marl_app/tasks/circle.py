"""The circle game with perfect learners, which shows in seconds why leagues exist. See `marl_app/league/oracles.py`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.console import Console
from rich.table import Table

from marl_app.assembly.instantiate import config_errors, env_factory, league
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.durable import replacing
from marl_app.envs.circle import Circle
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.oracles import Draws, OracleHistory, play_league, play_pair
from marl_app.league.players import Learner
from marl_app.metrics.figures import Pixels, curves_figure, write_png
from marl_app.metrics.tensorboard import TensorBoard

SHOWN_ROUNDS = (1, 5, 15, 30, 45, 60)  # rows of the table
LAST_ROUNDS = 15  # over which the table and the objective average
SELF_PLAY = "single self-play"
BEST_STRENGTH = 0.5 - 1e-6  # the maximum is 0.5, minus rounding


@dataclass
class CircleGame(Section):
    """The task: compare a pair in self-play with one league per matchmaker.

    The objective is the mean strength in the last rounds of the first league under the first meta-strategy.
    """

    path: ClassVar[str] = "task"
    rounds: int = key("Number of rounds.", at_least=1)
    learners: int = key("Learners of each league.", at_least=1)
    opponents: int = key("Opponents that a learner draws each round.", at_least=1)
    matchmakers: dict[str, Matchmaker] = key("Matchmakers by name; one league plays with each.")
    meta_strategies: dict[str, MetaStrategy] = key(
        "Meta-strategies by name; the strength of a pool is measured with each."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("matchmakers", "meta_strategies"):
            if not getattr(self, name):
                raise ConfigError(f"task.{name} has no entry: give at least one")

    def __call__(self, config: Config) -> float:
        """Play, print the table, and write the table and figures to the run directory. Returns the objective."""
        with config_errors("env"):
            env = env_factory(config.env)(1)
        if not isinstance(env, Circle):
            raise ConfigError(
                f"env._target_={config.env['_target_']}: task=circle plays only the circle game: give env=circle"
            )
        scores = env.strategy_scores
        learners = [Learner(f"{next(iter(config.league.learners))}_{number}") for number in range(self.learners)]
        leagues = {}
        for name, matchmaker in self.matchmakers.items():
            # The same random numbers for every league: the draws of the pair come first.
            draws = Draws(config.seed)
            pair = play_pair(scores, self.rounds, draws)
            contestants = league(config, learners, matchmaker)
            leagues[name] = play_league(scores, contestants, self.meta_strategies, self.rounds, self.opponents, draws)
        # The strength of a pure strategy is 1 minus the score of its best response: the highest row in its column.
        results = CircleResults(pair, [1.0 - float(scores[:, agent].max()) for agent in pair], leagues)
        results.print({name: type(meta).__name__ for name, meta in self.meta_strategies.items()})
        results.write(Path(config.output_dir))
        first = next(iter(leagues.values()))
        return float(np.mean(next(iter(first.strength.values()))[-LAST_ROUNDS:]))


class CircleResults:
    """Per round: the strategy of the pair's agent and its strength, and the history of each league."""

    def __init__(self, pair: Sequence[int], pair_strength: Sequence[float], leagues: dict[str, OracleHistory]) -> None:
        self.pair, self.leagues, self.rounds = pair, leagues, range(1, len(pair) + 1)
        # Meta-strategy -> contestant -> strength per round. The pair has one strategy: no meta-strategy changes it.
        self.strength = {
            meta: {SELF_PLAY: pair_strength} | {name: history.strength[meta] for name, history in leagues.items()}
            for meta in next(iter(leagues.values())).strength
        }
        # Contestant -> per round the number of distinct strategies that the strength is of. The pair has no pool: its
        # agent is one strategy in every round.
        self.distinct: dict[str, Sequence[int]] = {SELF_PLAY: [1] * len(pair)}
        self.distinct |= {name: history.distinct for name, history in leagues.items()}

    def print(self, classes: Mapping[str, str]) -> None:
        """Print one table per meta-strategy. `classes`: meta-strategy -> the name of its class."""
        # The last round is always shown.
        shown = [number for number in SHOWN_ROUNDS if number < len(self.rounds)] + [len(self.rounds)]
        last = min(LAST_ROUNDS, len(self.rounds))
        for meta, contestants in self.strength.items():
            columns = list(contestants.values())
            table = Table(
                "round", *contestants, title=f"Strength, at most 0.5 (meta-strategy: {meta}, {classes[meta]})"
            )
            for number in shown:
                table.add_row(str(number), *(f"{values[number - 1]:.3f}" for values in columns))
            table.add_row(f"mean of the last {last}", *(f"{np.mean(values[-last:]):.3f}" for values in columns))
            table.add_section()
            # Per contestant: the number of the first round at the maximum.
            reached = (
                next((str(n) for n, v in enumerate(values, 1) if v > BEST_STRENGTH), "never") for values in columns
            )
            table.add_row("first at 0.5 in round", *reached)
            table.add_row("rounds at 0.5", *(str(int((np.array(values) > BEST_STRENGTH).sum())) for values in columns))
            table.add_row("distinct strategies at the end", *(str(self.distinct[name][-1]) for name in contestants))
            Console(width=100).print(table)

    def write(self, directory: Path) -> None:
        """Write `strength.csv` and figures, and the same as curves and figures for TensorBoard."""
        with replacing(directory / "strength.csv") as path, path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["round", "contestant", "meta_strategy", "strength", "distinct"])
            for meta, contestants in self.strength.items():
                for name, values in contestants.items():
                    columns = (self.rounds, repeat(name), repeat(meta), values, self.distinct[name])
                    rows.writerows(zip(*columns, strict=False))
        writer = TensorBoard(directory / "tb")
        for number in self.rounds:
            writer.scalars(self._scalars(number), number)
        for name, pixels in self._pictures():
            write_png(directory / f"{name.replace('/', '_')}.png", pixels)
            writer.image(f"circle/{name}", pixels, len(self.rounds))
        writer.close()
        print(f"run directory: {directory}  (strength.csv, pictures, tb/)")

    def _pictures(self) -> Iterator[tuple[str, Pixels]]:
        """Yield (name, picture) of every figure."""
        walk = {"agent": (self.rounds, self.pair)}
        yield "walk", curves_figure("Single self-play cycles around the circle", "round", "agent's strategy", walk)
        for meta, contestants in self.strength.items():
            curves = {name: (self.rounds, values) for name, values in contestants.items()}
            yield f"strength/{meta}", curves_figure(f"Strength (meta-strategy: {meta})", "round", "strength", curves)
            # Per league the points (distinct strategies, strength), one for each round.
            points = {name: (history.distinct, history.strength[meta]) for name, history in self.leagues.items()}
            title = f"Strength and diversity (meta-strategy: {meta})"
            yield (
                f"diversity/{meta}",
                curves_figure(title, "distinct strategies in the pool", "strength", points, joined=False),
            )

    def _scalars(self, number: int) -> dict[str, float]:
        """Return the metrics of one round, counted from 1."""
        values: dict[str, float] = {
            "circle/self_play/strength": next(iter(self.strength.values()))[SELF_PLAY][number - 1],
            "circle/self_play/strategy": self.pair[number - 1],
        }
        for name, history in self.leagues.items():
            values[f"circle/{name}/distinct"] = history.distinct[number - 1]
            values |= {f"circle/{name}/strength/{meta}": v[number - 1] for meta, v in history.strength.items()}
        return values

"""Watch: matches between players of a run as films.

python -m marl_app task=watch run=runs/league/<time>
python -m marl_app task=watch run=DIR 'task.players=[main,main@0003]' task.matches=4 task.format=mp4

Draws what the environment renders: a board, a picture or a text. Trains nothing and does not start Ray.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.console import Console
from rich.progress import track

from marl_app.assembly.instantiate import config_errors, env_factory
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.envs.batched import BatchedEnv
from marl_app.evaluation.contestants import Contestant, contestants
from marl_app.evaluation.film import film
from marl_app.evaluation.frames import write_gif, write_mp4
from marl_app.evaluation.match import Match
from marl_app.runs.members import Members
from marl_app.tasks.opened_run import environment, open_run

GIF, MP4 = "gif", "mp4"


@dataclass
class Watch(Section):
    """The task. Its objective is the mean score of the first player; a team without opponents returns its return."""

    path: ClassVar[str] = "task"
    players: list[str] = key("Players, one for each side in turn, or one that plays all sides.")
    matches: int = key("Number of matches, each a film of its own.", at_least=1)
    fps: float = key("Steps shown per second.", above=0, at_most=60)
    size: int = key("Largest height and width of the picture, in pixels.", at_least=64, at_most=2048)
    max_steps: int = key("Steps after which a film ends although its match goes on.", at_least=1)
    greedy: bool = key("Whether agents take their most probable action instead of a sampled one.")
    format: str = key("Of the files.", choices=(GIF, MP4))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format == MP4 and shutil.which("ffmpeg") is None:
            raise ConfigError(
                "task.format=mp4 needs the program ffmpeg, which is not on the PATH: give task.format=gif"
            )

    def __call__(self, config: Config) -> float:
        """Play and write the films to the run directory. Returns the objective."""
        members = open_run(config)
        make_env = env_factory(environment(members))
        with config_errors("run"):
            env = make_env(1)
        with closing(env):
            with config_errors("task.players"):
                players = named(env, members, self.players)
                check_sides(env, players)
            env.enable_rendering(prefer_text=False)
            results = []
            quiet = not Console().is_terminal
            # One match at a time, in one environment; each match resets it.
            for number in track(range(self.matches), "matches", transient=True, disable=quiet):
                results.append(self._film(env, players, config, number))
        # NaN for matches that were not over when their film ended.
        known = [result for result in results if not np.isnan(result)]
        return float(np.mean(known)) if known else float("nan")

    def _film(self, env: BatchedEnv, players: Sequence[Contestant], config: Config, number: int) -> float:
        """Write the film of a match, print its line, and return the first player's score (of a team, its return)."""
        sides = len(env.sides)
        # Sides rotate from match to match, unless a player can play one side only.
        rotation = 0 if any(player.side is not None for player in players) else number
        seats = [players[(side + rotation) % len(players)] for side in range(sides)]  # by side
        # The players by agent, and the match: its seed is the job's seed and its number.
        by_agent = {agent: seats[side] for side in range(sides) for agent in env.sides[side]}
        agents = range(len(env.agents))
        match = Match(env, [by_agent[agent].player for agent in agents], (config.seed, number), greedy=self.greedy)
        frames = film(match, {agent: by_agent[agent].name for agent in agents}, self.size, self.max_steps)
        path = Path(config.output_dir) / f"match_{number:02d}.{self.format}"
        (write_gif if self.format == GIF else write_mp4)(path, frames, self.fps)
        # The objective follows the first player to its side. A film may end before its match.
        side = seats.index(players[0]) if sides > 1 else 0
        if match.result is None:
            outcome, value = f"not over after {match.length} steps", float("nan")
        elif sides == 1:
            value = float(np.mean(match.result.returns))
            outcome = f"return per agent {value:.3f} in {match.length} steps"
        else:
            value = match.result.scores[side]
            named_sides = zip(seats, match.result.scores, strict=True)
            scores = ", ".join(f"{player.name} {score:.3g}" for player, score in named_sides)
            outcome = f"scores {scores} in {match.length} steps"
        print(f"{path}: {outcome}", flush=True)
        return value


def named(env: BatchedEnv, members: Members, names: Sequence[str]) -> list[Contestant]:
    """Return a player for each name, in this order. Raises ValueError for a pattern of several players."""
    found = []
    for name in names:
        # No limit on the snapshots, so that a pattern is refused for all that it matches.
        players = contestants(env, members, [name], len(members.steps), [])
        if len(players) != 1:
            raise ValueError(f"{name!r} matches {len(players)} players: name a single one of {members.describe()}")
        found += players
    return found


def check_sides(env: BatchedEnv, players: Sequence[Contestant]) -> None:
    """Raise ValueError unless there is a player for each side, or one for all, that can play it."""
    sides = len(env.sides)
    # One player plays all sides; several sides are assigned in order.
    if len(players) not in (1, sides):
        raise ValueError(f"{len(players)} players for {sides} sides: give one for each side, or one that plays all")
    for side in range(sides):
        player = players[side % len(players)]
        if player.side not in (None, side):
            raise ValueError(
                f"{player.name} plays side {player.side} only, not side {side}: give one player for each side"
            )

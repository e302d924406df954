"""Evaluate teams without opponents: each player's return, and its return with teammates of other players."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from marl_app.durable import replacing
from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.contestants import Contestant
from marl_app.evaluation.team import TeamReturn, teams_of_two
from marl_app.metrics.json import to_json

SHOWN = 8  # players in the printed table of teammates


def evaluate_teams(
    make_env: MakeEnv, players: Sequence[Contestant], games: int, seed: int, *, greedy: bool
) -> dict[tuple[int, int], TeamReturn]:
    """Return the result of every pair (newcomer, team), by indices of players; at least `games` matches each."""
    with closing(make_env(1)) as env:
        agents = len(env.agents)
    # Rounded up, and at least 2, because the interval needs a standard deviation.
    each = max(2, -(-games // agents))  # matches in which an agent is the newcomer's
    print(
        f"teams: {len(players)} players, each with each other as teammates, {each * agents:,} matches a pair",
        flush=True,
    )
    quiet = not Console().is_terminal
    with closing(make_env(each)) as env:
        # A generator: each step plays one pair, in `each` parallel matches per place of the newcomer.
        found = teams_of_two(env, [player.player for player in players], seed, greedy=greedy)
        steps = track(found, "teams", total=len(players) ** 2, transient=True, disable=quiet)
        return {(newcomer, team): result for newcomer, team, result in steps}


def report_teams(
    directory: Path,
    players: Sequence[Contestant],
    results: Mapping[tuple[int, int], TeamReturn],
    facts: Mapping[str, Any],
) -> None:
    """Print the returns, and write `teams.json` and `teams.csv`."""
    # 1. Write the files.
    names = [player.name for player in players]
    rows = [
        {"newcomer": names[newcomer], "team": names[team], **result._asdict()}
        for (newcomer, team), result in results.items()
    ]
    content = {**facts, "players": [{"player": p.name, "kind": p.kind, "source": p.source} for p in players]}
    with replacing(directory / "teams.json") as path:
        path.write_text(to_json({**content, "teams": rows}, indent=2) + "\n", encoding="utf-8")
    with replacing(directory / "teams.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    # 2. Print the tables: each player alone, then each player with the others.
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=120)
    console.print(_alone(names, results))
    if len(names) > 1:
        console.print(_together(names[:SHOWN], results))
    print(f"evaluation: {directory}  (teams.json, teams.csv)", flush=True)


def _alone(names: Sequence[str], results: Mapping[tuple[int, int], TeamReturn]) -> Table:
    table = Table("player", "return per agent", "95 % interval", "return of the team", "with others", title="Teams")
    for column in table.columns[1:]:
        column.justify = "right"
    for index, name in enumerate(names):
        own = results[index, index]
        # Pairs with another player, as the newcomer or as the team.
        others = [result.agent_return for pair, result in results.items() if index in pair and pair[0] != pair[1]]
        table.add_row(
            name, f"{own.agent_return:.3f}", f"{own.low:.3f} to {own.high:.3f}", f"{own.team_return:.3f}",
            f"{np.mean(others):.3f}" if others else "-",
        )  # fmt: skip
    return table


def _together(names: Sequence[str], results: Mapping[tuple[int, int], TeamReturn]) -> Table:
    title = "Return per agent if a player (row) takes the place of one agent in the team of another (column)"
    table = Table("", *names, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for row, name in enumerate(names):
        table.add_row(name, *(f"{results[row, column].agent_return:.3f}" for column in range(len(names))))
    return table

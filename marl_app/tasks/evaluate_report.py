"""The results of cross-play as a table in the terminal, files, figures and curves for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from marl_app.durable import replacing
from marl_app.evaluation.certified import certify
from marl_app.evaluation.contestants import ANCHOR, Contestant
from marl_app.evaluation.ranking import Ranking
from marl_app.evaluation.results import CrossPlayResults
from marl_app.metrics.figures import Pixels, curves_figure, payoff_heat_map, ratings_figure, write_png
from marl_app.metrics.json import to_json
from marl_app.metrics.tensorboard import TensorBoard
from marl_app.tasks.certified_report import (
    MIXTURES,
    certified_columns,
    certified_content,
    certified_lines,
    rank_text,
)

WRITTEN_CYCLES = 3  # in cross_play.json, the strongest first
SHOWN_PLAYERS = 12  # in the figure of the strongest cycle: those with the largest part in it


class CrossPlayReport:
    """The report of the matches of `players`; `status`: finished, interrupted or failed.

    solved: by player, the share of value-preserving moves in solved positions; None where it was not measured.
    """

    def __init__(
        self,
        players: Sequence[Contestant],
        results: CrossPlayResults,
        ranking: Ranking,
        status: str,
        solved: Sequence[float | None],
    ) -> None:
        self.players, self.results, self.ranking, self.status, self.solved = players, results, ranking, status, solved
        self.certified = certify(results)

    def print(self, directory: Path) -> None:
        """Print the table, the strongest player first, and the figures of the whole payoff."""
        ranking, zero = self.ranking, self.players[self.results.zero]
        table = Table(
            "player", "Elo", "95 % interval", "OpenSkill", "ordinal", "Nash", "alpha-rank", "score", "games",
            "rank", "lottery rank",
            title=f"Cross-play, {self.status} after {self.results.played:,} matches (Elo of {zero.name} = 0)",
        )  # fmt: skip
        for column in table.columns[1:]:
            column.justify = "right"
        for row in sorted(self._rows(), key=lambda row: -row["elo"]):
            table.add_row(
                row["player"], f"{row['elo']:.0f}", f"{row['elo_low']:.0f} to {row['elo_high']:.0f}",
                *(f"{row[name]:.1f}" for name in ("openskill_mu", "openskill_ordinal")),
                *("-" if row[name] is None else f"{row[name]:.3f}" for name in ("nash", "alpha_rank", "score")),
                f"{row['games']:,}", *(rank_text(row, mixture) for mixture in MIXTURES),
            )  # fmt: skip
        # A file or pipe has no width: 120 characters hold all columns.
        console = Console(highlight=False)
        (console if console.is_terminal else Console(highlight=False, width=120)).print(table)
        if zero.kind != ANCHOR:
            print(f"Elo is measured from {zero.name}: without the anchor random it cannot be compared across runs.")
        sides = ", ".join(f"{score:.3f}" for score in self.results.side_scores)
        print(
            f"cyclic share of the payoff: {ranking.cyclic_share:.3f} (by chance alone: up to "
            f"{ranking.ladder_cyclic_share:.3f})    mean score by side: {sides}"
        )
        for line in certified_lines(self.results.players, self.certified):
            print(line)
        files = "cross_play.json, payoff.csv, ratings.csv, payoff.png, ratings.png, tb/"
        print(f"evaluation: {directory}  ({files})", flush=True)

    def write(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """Write `cross_play.json` (with `facts`), tables and figures, and all of it for TensorBoard."""
        # 1. Everything as JSON.
        content = {
            **facts, "status": self.status, "games": self.results.played,
            "zero": self.players[self.results.zero].name, "cyclic_share": self.ranking.cyclic_share,
            "ladder_cyclic_share": self.ranking.ladder_cyclic_share, "ranking_doubt": self.ranking.ranking_doubt,
            "side_scores": self.results.side_scores, "players": list(self._rows()), "pairs": list(self._pairs()),
            "certified": certified_content(self.results.players, self.certified),
            "cycles": [
                {"share": share, "coordinates": dict(zip(self.results.players, at.tolist(), strict=True))}
                for share, at in self.ranking.planes[:WRITTEN_CYCLES]
            ],
        }  # fmt: skip
        with replacing(directory / "cross_play.json") as path:
            path.write_text(to_json(content, indent=2) + "\n", encoding="utf-8")
        # 2. Pairs and players as tables. All rows of a table have the same columns.
        for name, rows in (("payoff", content["pairs"]), ("ratings", content["players"])):
            with replacing(directory / f"{name}.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        # 3. Figures as files, and for TensorBoard.
        pictures = dict(self._pictures())
        for name, pixels in pictures.items():
            write_png(directory / f"{name}.png", pixels)
        self._tensorboard(directory / "tb", pictures)

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Yield the columns of each player."""
        ranking, results = self.ranking, self.results
        # [n] matches of each player; a match counts for both of its players.
        games = results.games.sum(axis=1)
        for index, player in enumerate(self.players):
            skill = ranking.skills[index]
            yield {
                "player": player.name, "kind": player.kind, "source": player.source, "agent_steps": player.agent_steps,
                "elo": ranking.elo[index], "elo_low": ranking.low[index], "elo_high": ranking.high[index],
                "openskill_mu": skill.mu, "openskill_sigma": skill.sigma, "openskill_ordinal": skill.ordinal,
                "nash": _none_if_nan(ranking.nash[index]), "alpha_rank": _none_if_nan(ranking.alpha_rank[index]),
                "score": results.points[index].sum() / max(games[index], 1.0), "games": int(games[index]),
                "value_preserving_moves": self.solved[index],
                **certified_columns(self.certified, index),
            }  # fmt: skip

    def _pairs(self) -> Iterator[dict[str, Any]]:
        """Yield two rows per pair: row against column, and the reverse."""
        rates, intervals, games = self.results.win_rates, self.results.intervals, self.results.games
        names = self.results.players
        # [pairs, 2] all ordered pairs of two different players.
        for row, column in np.argwhere(~np.eye(len(names), dtype=bool)):
            low, high = intervals[row, column]
            yield {
                "row": names[row], "column": names[column], "score": rates[row, column], "low": low, "high": high,
                "games": int(games[row, column]),
                "certified_low": self.certified.low[row, column], "certified_high": self.certified.high[row, column],
            }  # fmt: skip

    def _pictures(self) -> Iterator[tuple[str, Pixels]]:
        """Yield (name, picture) of every figure; that of the strongest cycle only if the payoff has cycles."""
        names, ranking = self.results.players, self.ranking
        yield "payoff", payoff_heat_map(names, self.results.win_rates, self.results.games)
        yield "ratings", ratings_figure(names, ranking.elo, ranking.low, ranking.high)
        if ranking.planes:
            share, at = ranking.planes[0]
            # at: [players, 2], the coordinates of each player in the plane of the cycle
            shown = sorted(np.argsort(-np.abs(at).sum(axis=1), kind="stable")[:SHOWN_PLAYERS].tolist())
            points = {names[index]: (at[index, :1], at[index, 1:]) for index in shown}
            title = (
                f"The strongest cycle: {share:.0%} of the cyclic part, itself {ranking.cyclic_share:.0%} of the payoff"
            )
            yield (
                "cycles",
                curves_figure(
                    title,
                    "each player beats those less than half a turn ahead of it, counterclockwise",
                    "",
                    points,
                    joined=False,
                ),
            )

    def _tensorboard(self, directory: Path, pictures: Mapping[str, Pixels]) -> None:
        """Write one curve per lineage over agent steps; players without agent steps get a constant curve."""
        ranking = self.ranking
        # The common axis of all curves: agent steps.
        steps = sorted({player.agent_steps for player in self.players if player.agent_steps is not None}) or [0]
        lines: dict[str, list[tuple[int, int]]] = {}  # name -> (agent steps, index of the player)
        for index, player in enumerate(self.players):
            if player.agent_steps is None:
                # A constant curve has a point at each end of the axis.
                lines[player.name] = [(step, index) for step in sorted({steps[0], steps[-1]})]
            else:
                # The learner and the snapshots of a lineage are the points of one curve.
                lines.setdefault(player.name.partition("@")[0], []).append((player.agent_steps, index))
        for name, points in lines.items():
            # Each curve is a directory of its own, which TensorBoard shows as a run.
            writer = TensorBoard(directory / name.replace("/", "_"))
            for step, index in points:
                values = {
                    "elo": ranking.elo[index], "elo_low": ranking.low[index], "elo_high": ranking.high[index],
                    "openskill": ranking.skills[index].mu, "nash": ranking.nash[index],
                    "alpha_rank": ranking.alpha_rank[index],
                }  # fmt: skip
                # Masses are NaN for players that may not be mixed.
                known = {f"cross_play/{key}": float(value) for key, value in values.items() if not np.isnan(value)}
                writer.scalars(known, step)
            writer.close()
        # Numbers and figures of the whole payoff have a single point, at the end of the axis.
        writer = TensorBoard(directory)
        summary = ("cyclic_share", "ladder_cyclic_share", "ranking_doubt")
        values = {f"cross_play/{name}": getattr(ranking, name) for name in summary}
        writer.scalars({**values, "cross_play/games": self.results.played}, steps[-1])
        for name, pixels in pictures.items():
            writer.image(f"cross_play/{name}", pixels, steps[-1])
        writer.close()


def _none_if_nan(value: float) -> float | None:
    """Return None for NaN, the mass of a player that a mixture leaves out."""
    return None if np.isnan(value) else float(value)

"""What cross-play found, as a table in the terminal, files, pictures and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from marl_app.evaluation.contestants import ANCHOR, Contestant
from marl_app.evaluation.ranking import Ranking
from marl_app.evaluation.results import CrossPlayResults
from marl_app.metrics.figures import Pixels, curves_figure, payoff_heat_map, ratings_figure, write_png
from marl_app.metrics.files import replacing, to_json
from marl_app.metrics.tensorboard import TensorBoard

PLANES = 3  # cycles that are written
LARGEST = 12  # players of the picture of the strongest cycle: those that take most part


class Report:
    """Everything known of `players` after their matches; `status` says how these ended."""

    def __init__(self, players: Sequence[Contestant], results: CrossPlayResults, ranking: Ranking, status: str) -> None:
        self.players, self.results, self.ranking, self.status = players, results, ranking, status

    def print(self, directory: Path) -> None:
        """The table, the strongest player first, and what stands beside it."""
        ranking, zero = self.ranking, self.players[self.results.zero]
        table = Table(
            "player", "Elo", "95 % interval", "OpenSkill", "sigma", "ordinal", "Nash", "alpha-rank", "score", "games",
            title=f"Cross-play, {self.status} after {self.results.played:,} matches (Elo of {zero.name} = 0)",
        )  # fmt: skip
        for column in table.columns[1:]:
            column.justify = "right"
        for row in sorted(self._rows(), key=lambda row: -row["elo"]):
            table.add_row(
                row["player"], f"{row['elo']:.0f}", f"{row['elo_low']:.0f} to {row['elo_high']:.0f}",
                *(f"{row[name]:.1f}" for name in ("openskill_mu", "openskill_sigma", "openskill_ordinal")),
                *("-" if row[name] is None else f"{row[name]:.3f}" for name in ("nash", "alpha_rank", "score")),
                f"{row['games']:,}",
            )  # fmt: skip
        console = Console(highlight=False)
        (console if console.is_terminal else Console(highlight=False, width=120)).print(table)
        if zero.kind != ANCHOR:
            print(f"Elo is measured from {zero.name}: without the anchor random it does not compare across runs.")
        sides = ", ".join(f"{score:.3f}" for score in self.results.side_scores)
        print(
            f"cyclic share of the payoff: {ranking.cyclic_share:.3f} (chance alone: up to "
            f"{ranking.ladder_cyclic_share:.3f})    mean score by side: {sides}"
        )
        files = "cross_play.json, payoff.csv, ratings.csv, payoff.png, ratings.png, tb/"
        print(f"evaluation: {directory}  ({files})", flush=True)

    def write(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """`cross_play.json` (with `facts`), tables, pictures, and all of it for TensorBoard."""
        content = {
            **facts, "status": self.status, "games": self.results.played,
            "zero": self.players[self.results.zero].name, "cyclic_share": self.ranking.cyclic_share,
            "ladder_cyclic_share": self.ranking.ladder_cyclic_share, "ranking_doubt": self.ranking.ranking_doubt,
            "side_scores": self.results.side_scores, "players": list(self._rows()), "pairs": list(self._pairs()),
            "cycles": [
                {"share": share, "coordinates": dict(zip(self.results.players, at.tolist(), strict=True))}
                for share, at in self.ranking.planes[:PLANES]
            ],
        }  # fmt: skip
        with replacing(directory / "cross_play.json") as path:
            path.write_text(to_json(content, indent=2) + "\n", encoding="utf-8")
        for name, rows in (("payoff", content["pairs"]), ("ratings", content["players"])):
            with replacing(directory / f"{name}.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        pictures = dict(self._pictures())
        for name, pixels in pictures.items():
            write_png(directory / f"{name}.png", pixels)
        self._tensorboard(directory / "tb", pictures)

    def _rows(self) -> Iterator[dict[str, Any]]:
        """One row a player."""
        ranking, results = self.ranking, self.results
        games = results.games.sum(axis=1)
        for place, one in enumerate(self.players):
            skill = ranking.skills[place]
            yield {
                "player": one.name, "kind": one.kind, "source": one.source, "agent_steps": one.agent_steps,
                "elo": ranking.elo[place], "elo_low": ranking.low[place], "elo_high": ranking.high[place],
                "openskill_mu": skill.mu, "openskill_sigma": skill.sigma, "openskill_ordinal": skill.ordinal,
                "nash": _known(ranking.nash[place]), "alpha_rank": _known(ranking.alpha_rank[place]),
                "score": results.points[place].sum() / max(games[place], 1.0), "games": int(games[place]),
            }  # fmt: skip

    def _pairs(self) -> Iterator[dict[str, Any]]:
        """Two rows a pair: row against column, and the reverse."""
        rates, intervals, games = self.results.win_rates, self.results.intervals, self.results.games
        names = self.results.players
        for row, column in np.argwhere(~np.eye(len(names), dtype=bool)):
            low, high = intervals[row, column]
            yield {
                "row": names[row], "column": names[column], "score": rates[row, column], "low": low, "high": high,
                "games": int(games[row, column]),
            }  # fmt: skip

    def _pictures(self) -> Iterator[tuple[str, Pixels]]:
        names, ranking = self.results.players, self.ranking
        yield "payoff", payoff_heat_map(names, self.results.win_rates, self.results.games)
        yield "ratings", ratings_figure(names, ranking.elo, ranking.low, ranking.high)
        if ranking.planes:
            share, at = ranking.planes[0]
            largest = sorted(np.argsort(-np.abs(at).sum(axis=1), kind="stable")[:LARGEST].tolist())
            points = {names[place]: (at[place, :1], at[place, 1:]) for place in largest}
            title = f"The strongest cycle: {share:.0%} of the cyclic part, which is {ranking.cyclic_share:.0%} in all"
            yield (
                "cycles",
                curves_figure(
                    title,
                    "each beats who is ahead of it, counterclockwise, by less than half a turn",
                    "",
                    points,
                    joined=False,
                ),
            )

    def _tensorboard(self, directory: Path, pictures: Mapping[str, Pixels]) -> None:
        """One line a lineage, over what its players had trained on, and a level one for each of the others."""
        ranking = self.ranking
        steps = sorted({one.agent_steps for one in self.players if one.agent_steps is not None}) or [0]
        lines: dict[str, list[tuple[int, int]]] = {}
        for place, one in enumerate(self.players):
            if one.agent_steps is None:
                lines[one.name] = [(step, place) for step in sorted({steps[0], steps[-1]})]
            else:
                lines.setdefault(one.name.partition("@")[0], []).append((one.agent_steps, place))
        for name, points in lines.items():
            writer = TensorBoard(directory / name.replace("/", "_"))
            for step, place in points:
                values = {
                    "elo": ranking.elo[place], "elo_low": ranking.low[place], "elo_high": ranking.high[place],
                    "openskill": ranking.skills[place].mu, "nash": ranking.nash[place],
                    "alpha_rank": ranking.alpha_rank[place],
                }  # fmt: skip
                known = {f"cross_play/{key}": float(value) for key, value in values.items() if not np.isnan(value)}
                writer.scalars(known, step)
            writer.close()
        writer = TensorBoard(directory)
        of_all = ("cyclic_share", "ladder_cyclic_share", "ranking_doubt")
        values = {f"cross_play/{name}": getattr(ranking, name) for name in of_all}
        writer.scalars({**values, "cross_play/games": self.results.played}, steps[-1])
        for name, pixels in pictures.items():
            writer.image(f"cross_play/{name}", pixels, steps[-1])
        writer.close()


def _known(value: float) -> float | None:
    """None for NaN: who is in no mixture has no mass."""
    return None if np.isnan(value) else float(value)

"""The sections about strength: fixed opponents, exploitability, and what was measured after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from marl_app.report.blocks import Absent, Block, Picture, Table
from marl_app.report.curves import X_LABEL, curve, picture
from marl_app.report.figures import Line, intervals_figure, lines_figure, payoff_figure, svg
from marl_app.report.recorded_run import STEPS, TEAM, RecordedRun
from marl_app.report.words import NONE, interval, number, share


def evaluation(run: RecordedRun) -> Iterator[Block]:
    """Yield the latest evaluation, against fixed opponents or of a team, with its intervals and over time."""
    if not run.anchors:
        raise Absent("no evaluation has ended")
    # A team has returns, a league has scores in [0, 1].
    value = "agent_return" if TEAM in run.anchors else "score"
    rows = [
        (name, number(score[value]), interval(score), number(score.get("games"))) for name, score in run.anchors.items()
    ]
    head = ("opponent" if value == "score" else "team", "mean score" if value == "score" else "return per agent")
    yield Table((*head, "95 % interval", "matches"), rows)
    if value == "score":
        ends = {name: (s["score"], s["low"], s["high"]) for name, s in run.anchors.items() if "low" in s}
        figure = intervals_figure("mean score, with its 95 % interval", ends, (0, 1))
        yield Picture("The newest agent", svg(figure, "The newest agent"), "Against fixed opponents; sampled actions.")
    lines = {name: line for name in run.anchors if (line := scores_over_time(run, name, value))}
    # A single evaluation is in the table above: a curve needs two.
    if any(len(np.asarray(line[0])) > 1 for line in lines.values()):
        figure = lines_figure(X_LABEL, lines, (0, 1) if value == "score" else None, marked=True)
        caption = "Each evaluation, with 95 % intervals; sampled actions."
        yield Picture("During training", svg(figure, "During training"), caption)
    yield from _solved(run)


def scores_over_time(run: RecordedRun, name: str, value: str) -> Line | None:
    """Return the evaluations against an anchor during training and at the end: env steps, score, low, high."""
    columns = [STEPS, *(f"evaluation/{name}/sampled/{column}" for column in (value, "low", "high"))]
    known = set(columns) <= set(run.progress)
    # [evaluations, 4] of the points that have an evaluation.
    points = run.progress[columns].dropna().to_numpy(np.float64) if known else np.empty((0, 4))
    end, last = run.total("env_steps"), run.anchors[name]
    # The evaluation at the end is in the summary, and may be newer than the last point of the curves.
    is_new = end is not None and "low" in last and run.has_ended and (not len(points) or end > points[-1, 0])
    if is_new:
        points = np.vstack([points, [end, last[value], last["low"], last["high"]]])
    return (points[:, 0], points[:, 1], points[:, 2], points[:, 3]) if len(points) else None


def _solved(run: RecordedRun) -> Iterator[Block]:
    """Yield the share of value-preserving moves in positions that were solved."""
    solved = run.value_preserving_moves
    if not solved:
        return
    columns = (share(solved["share"]), interval(solved), share(solved.get("sampled")), number(solved.get("positions")))
    names = ("moves that keep the value", "95 % interval", "expected with sampled actions", "solved positions")
    yield Table((), list(zip(names, columns, strict=True)))


def exploitability(run: RecordedRun) -> Iterator[Block]:
    """Yield exact exploitability, and the bounds by exploiters that were trained later or in parallel."""
    # 1. Exact values, of small games.
    exact = run.exploitability
    parallel = run.last("exploit/bound")
    if not exact and not run.exploits and parallel is None:
        raise Absent("not known: exact in small games only; task=exploit gives a lower bound in any game")
    if exact:
        rows = [(name.replace("_", "-"), number(value)) for name, value in exact.items()]
        yield Table(("exact exploitability (NashConv / 2)", "reward"), rows)
        lines = {
            name.replace("_", "-"): line for name in exact if (line := curve(run, f"exploitability/{name}")) is not None
        }
        if lines:
            yield picture("Exploitability", "What a best response gains; 0 in equilibrium.", lines, limits=(0, None))
    # 2. Bounds, of exploiters trained by later tasks and by the callback.
    bounds = [(place, *_bound(found)) for place, found in run.exploits.items()]
    if parallel is not None:
        low = number(run.last("exploit/bound_low"))
        bounds.append(("in parallel with training", "agent", number(parallel), low, NONE))
    if bounds:
        head = ("trained exploiter", "target", "score beyond 0.5", "at least (95 %)", "matches")
        yield Table(head, bounds, wide=True)


def _bound(found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return target, estimate, lower end and matches of an `exploit.json`."""
    bound, score = found["bound"], found["scores"][found["best"]]
    return str(found["target"]), number(bound["estimate"]), number(bound["low"]), number(score["games"])


def cross_play(run: RecordedRun) -> Iterator[Block]:
    """Yield ratings and payoff of the newest cross-play in the run."""
    if not run.cross_plays:
        raise Absent("not played yet: task=evaluate run=DIR writes it into the run")
    # The directories are in the order of their names, which begin with the time: the last is the newest.
    place, found = list(run.cross_plays.items())[-1]
    players = found.get("players") or []
    if not players or "elo" not in players[0]:
        raise Absent(f"{place} has no ratings")
    rated = sorted(players, key=lambda player: -player["elo"])
    rows = [
        (str(p["player"]), number(p["elo"], 0), _elo_interval(p), number(p.get("nash")), number(p.get("openskill"), 1))
        for p in rated
    ]
    caption = f"{place}: {number(found.get('games'))} matches; Elo of {found.get('zero')} is 0."
    yield Table(("player", "Elo", "95 % interval", "Nash", "OpenSkill"), rows, caption)
    names = [str(player["player"]) for player in players]
    index = {name: number for number, name in enumerate(names)}
    # [players, players], with an even score and no games where a pair is missing.
    scores, games = np.full((len(names), len(names)), 0.5), np.zeros((len(names), len(names)))
    for pair in found.get("pairs", ()):
        cell = index[pair["row"]], index[pair["column"]]
        scores[cell], games[cell] = pair["score"], pair["games"]
    figure = payoff_figure(names, scores, games)
    title = "Score of row against column"
    yield Picture(title, svg(figure, title), "In the matches of cross-play.", len(names) > 8)


def _elo_interval(player: Mapping[str, Any]) -> str:
    low, high = player.get("elo_low"), player.get("elo_high")
    return NONE if low is None or high is None else f"[{number(low, 0)},\u00a0{number(high, 0)}]"

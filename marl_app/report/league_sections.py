"""The sections about the league: payoff, matches, lineage, meta-strategy and alarms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from marl_app.league.alarms import Alarms
from marl_app.league.payoff import Float64s, Payoff
from marl_app.league.players import GUEST, Player, Snapshot
from marl_app.report.blocks import Absent, Block, Picture, Table, Text
from marl_app.report.curves import X_LABEL
from marl_app.report.figures import lineage_figure, payoff_figure, rows_figure, shares_figure, svg
from marl_app.report.recorded_run import STEPS, RecordedRun
from marl_app.report.words import NONE, number, share
from marl_app.runs.state import RunState

MOST_COLUMNS = 60  # of a heat map over time: neighboring iterations are one column
MOST_LEARNERS = 6  # with a heat map of their own
NO_POOL = "a team without opponents has no pool"


def _state_of_league(run: RecordedRun) -> RunState:
    """Return the state of a run with a pool. Raises Absent."""
    if run.is_team:
        raise Absent(NO_POOL)
    if run.state is None:
        raise Absent("the run has no whole checkpoint")
    if not run.state.snapshots:
        raise Absent("the pool is empty")
    return run.state


def payoff(run: RecordedRun) -> Iterator[Block]:
    """Yield the heat map of the payoff between all snapshots and learners."""
    state = _state_of_league(run)
    table = Payoff()
    table.load_state_dict(state.league["payoff"])
    # Snapshots by age, then learners: the order of rows and columns.
    players = [snapshot.player.id for snapshot in state.snapshots] + run.learners
    _, games = table.counts(players)
    if not games.any():
        raise Absent("no match between different players has been counted")
    figure = payoff_figure(players, table.matrix(players), games)
    title, caption = "Score of row against column", "As the league knows it: recent matches count most, and a new "
    yield Picture(title, svg(figure, title), f"{caption}snapshot begins with its learner's record.", len(players) > 8)
    pool = players[: len(state.snapshots)]
    rows = []
    for learner in run.learners:
        scores, played = table.scores(learner, pool), table.games(learner, pool)
        if played.any():
            # Snapshots without games have an estimate too, but no claim to be the hardest.
            worst = int(np.argmin(np.where(played > 0, scores, np.inf)))
            mean = float(np.average(scores, weights=played))
            rows.append((learner, number(mean), pool[worst], number(float(scores[worst]))))
    head = ("learner", "score, mean of its matches", "hardest snapshot", "score against it")
    yield Table(head, rows, wide=len(rows) > 1)


def opponents(run: RecordedRun) -> Iterator[Block]:
    """Yield how the matches of each learner were shared among its opponents, over time."""
    if run.is_team:
        raise Absent(NO_POOL)
    matches = run.matches()
    # The env steps of the last iteration with a match: all heat maps end there.
    end = float(env_steps_at(run, np.array([matches["iteration"].max()]))[0])
    for learner, rows in sorted(matches.groupby("learner"), key=lambda item: _place(run, str(item[0])))[:MOST_LEARNERS]:
        order, edges, shares = shares_over_time(run, rows)
        names = [f"{opponent} (itself)" if opponent == learner else opponent for opponent in order]
        figure = shares_figure(names, edges, shares, end, X_LABEL, "share of results")
        title = f"Opponents of {learner}"
        yield Picture(title, svg(figure, title), "Share of its results against each of them.", wide=True)
    total = matches["games"].sum()
    by_rule = matches.groupby(["learner", "rule"])["games"].sum()
    rows_of_table = [
        (str(learner), str(rule), number(games), share(games / by_rule[learner].sum()))
        for (learner, rule), games in by_rule.items()
    ]
    caption = f"{total:,} results in all: one for each match and opposing side."
    head = ("learner", "rule of the matchmaker", "results", "share of its results")
    yield Table(head, rows_of_table, caption, wide=len(run.learners) > 1)


def shares_over_time(run: RecordedRun, rows: pd.DataFrame) -> tuple[list[str], Float64s, Float64s]:
    """Return the opponents of a learner, guests first and learners last, and their shares of its results over time.

    rows: its match records. The second value has the n + 1 edges of the columns in env steps, the third the shares
    [opponents, n]. Each column has about as many iterations of this learner, and spans those of others between them.
    """
    order = sorted(rows["opponent"].unique(), key=lambda opponent: _order(run, opponent))
    own = np.unique(rows["iteration"].to_numpy())
    # 1. Group the iterations in which the learner played into columns.
    columns = min(MOST_COLUMNS, len(own))
    if len(run.learners) > 1:  # they take turns: at most one column for each turn
        columns = min(columns, int((np.diff(own) > 1).sum()) + 1)
    # Index of the last iteration of each column; `edges` are iterations, the first one before the learner's first.
    last_of_columns = np.linspace(0, len(own), columns + 1).round().astype(int)[1:] - 1
    edges = np.array([own[0] - 1, *own[last_of_columns]], np.float64)
    # 2. Sum the games by opponent and column: column c has the iterations in (edges[c], edges[c + 1]].
    column = np.searchsorted(edges, rows["iteration"].to_numpy(), side="left") - 1
    row = pd.Categorical(rows["opponent"], order).codes
    games = np.zeros((len(order), len(edges) - 1))
    np.add.at(games, (row, column), rows["games"].to_numpy())
    return order, env_steps_at(run, edges), games / games.sum(axis=0)


def env_steps_at(run: RecordedRun, iterations: Float64s) -> Float64s:
    """Return the env steps at these iterations; the iterations themselves without progress."""
    known = run.progress[["iteration", STEPS]].dropna()
    if known.empty:
        # Linear between the recorded points: there may be several iterations from one point to the next.
        return iterations
    steps: Float64s = np.interp(iterations, [0.0, *known["iteration"]], [0.0, *known[STEPS]])
    return steps


def _place(run: RecordedRun, learner: str) -> tuple[int, str]:
    """Return a sorting key of learners: those that train first, in their order."""
    return (run.learners.index(learner) if learner in run.learners else len(run.learners)), learner


def _order(run: RecordedRun, player: str) -> tuple[int, int, Player]:
    """Return a sorting key of opponents: guests, snapshots by lineage and age, and then learners."""
    parsed = Player.parse(player)
    is_guest = parsed.is_snapshot and parsed.lineage not in run.learners
    place, _ = _place(run, parsed.lineage)
    return (0 if is_guest else 1 if parsed.is_snapshot else 2), place, parsed


def lineage(run: RecordedRun) -> Iterator[Block]:
    """Yield the tree of the snapshots: from which one each learner's training continued."""
    state = _state_of_league(run)
    own = [snapshot for snapshot in state.snapshots if snapshot.role != GUEST]
    guests = [snapshot for snapshot in state.snapshots if snapshot.role == GUEST]
    if own:
        lineages = sorted({snapshot.player.lineage for snapshot in own}, key=lambda name: _place(run, name))
        nodes = {snapshot.player.id: (snapshot.player.lineage, _frozen_at(run, snapshot)) for snapshot in own}
        # An edge leads from the snapshot whose weights training began with; that snapshot may have left the pool.
        by_digest = {snapshot.digest: snapshot.player.id for snapshot in own}
        edges = [(by_digest[s.parent], s.player.id) for s in own if s.parent in by_digest]
        end = max(run.total("env_steps") or 0.0, *(x for _, x in nodes.values()), 1.0)
        figure = lineage_figure(lineages, nodes, edges, end, X_LABEL)
        caption = (
            "A point is a snapshot of the pool, at its freeze; a line leads to it from the snapshot that training went "
        )
        caption += "on from. Hollow: from initial weights, or from a snapshot that has left the pool."
        yield Picture("Snapshots of each learner", svg(figure, "Snapshots of each learner"), caption, wide=True)
    careers = state.league.get("careers", {})
    rows = []
    for learner in state.learners:
        # Of the learner: its snapshots in the pool, and the reason of the newest one.
        frozen = [s for s in own if s.player.lineage == learner.lineage]
        career = careers.get(learner.player.id, {})
        reason = frozen[-1].reason if frozen else NONE
        columns = (number(len(frozen)), number(career.get("resets")), number(career.get("matches")), reason)
        rows.append((learner.player.id, learner.role.replace("_", " "), *columns))
    yield Table(
        ("learner", "role", "snapshots in the pool", "resets", "matches", "last freeze because"), rows, wide=True
    )
    if guests:
        yield Table(("guest", "what it is"), [(guest.player.id, guest.reason) for guest in guests], wide=True)


def _frozen_at(run: RecordedRun, snapshot: Snapshot) -> float:
    """Return the env steps of the run when a snapshot was frozen, from the agent steps of its learner."""
    # Runs with several learners count the steps of each; with one learner the run's steps are its own.
    for column in (f"learners/{snapshot.player.lineage}/trained_agent_steps", "steps/trained_agent_steps"):
        if column in run.progress:
            known = run.progress[[column, STEPS]].dropna()
            if not known.empty:
                return float(np.interp(snapshot.agent_steps, [0.0, *known[column]], [0.0, *known[STEPS]]))
    return float(snapshot.agent_steps)


def meta_strategy(run: RecordedRun) -> Iterator[Block]:
    """Yield the probabilities of the meta-strategy over time, for each pool."""
    _state_of_league(run)
    if not run.meta_strategy:
        raise Absent("meta_strategy.jsonl is missing: the run is older than this record")
    if run.choices.get("league/meta") == "uniform":
        yield Text("Uniform: every snapshot of the pool has the same probability.")
        return
    # One meta-strategy for each pool: side None, or one for each side.
    for side in sorted({line.get("side") for line in run.meta_strategy}, key=str):
        lines = [line for line in run.meta_strategy if line.get("side") == side]
        title = "Probability of each snapshot" if side is None else f"Probability of each snapshot of side {side}"
        order = sorted({player for line in lines for player in line["probabilities"]}, key=lambda p: _order(run, p))
        edges, shares = _mixtures_over_time(run, lines, order)
        caption = f"league/meta={run.choices.get('league/meta', 'as configured')}, solved from the payoff of the pool."
        figure = shares_figure(order, edges, shares, float(edges[-1]), X_LABEL, "probability")
        yield Picture(title, svg(figure, title), caption, wide=True)
        last: Mapping[str, float] = lines[-1]["probabilities"]
        likeliest = [p for p in sorted(last, key=lambda player: -last[player])[:5] if last[p] >= 0.001]
        yield Table(("likeliest at the end", "probability"), [(player, number(last[player])) for player in likeliest])


def _mixtures_over_time(
    run: RecordedRun, lines: Sequence[dict[str, Any]], order: Sequence[str]
) -> tuple[Float64s, Float64s]:
    """Return the edges [n + 1] in env steps and the probabilities [players, n]; NaN where a player was not in the pool.

    A line counts until the next one. Of more than MOST_COLUMNS evenly spaced ones are taken.
    """
    # Evenly spaced lines, the first and the last among them.
    taken = np.unique(np.linspace(0, len(lines) - 1, min(MOST_COLUMNS, len(lines))).round().astype(int))
    chosen = [lines[index] for index in taken]
    steps = [float(line[STEPS]) for line in chosen]
    end = max(steps[-1], run.total("env_steps") or 0.0)
    end = max(end, 1.02 * steps[-1])  # the last line was written at the end of the run: a thin column
    # [players, n]
    shares = np.array([[line["probabilities"].get(player, np.nan) for line in chosen] for player in order])
    return np.array([*steps, end]), shares


def alarms(run: RecordedRun) -> Iterator[Block]:
    """Yield when each alarm rang, what rings at the end, and the newest warnings of the log."""
    if run.is_team:
        raise Absent(NO_POOL)
    columns = [name for name in run.progress if str(name).startswith("alarms/")]
    if not columns:
        raise Absent("the run has no alarms (callbacks=[..., alarms])")
    names = [str(column).partition("/")[2].replace("_", " ") for column in columns]
    # A point covers the env steps since the point before: [points].
    steps = run.progress[STEPS].to_numpy(np.float64)
    lengths = np.diff(steps, prepend=0.0)
    ringing = run.progress[columns].fillna(0.0).to_numpy() > 0  # [points, alarms]
    if not ringing.any():
        yield Text(f"None of {len(names)} rang: {', '.join(names)}.")
    else:
        # Per alarm the spans (start, length) in env steps in which it rang.
        spans = [
            [(end - length, length) for end, length in zip(steps[on], lengths[on], strict=True)] for on in ringing.T
        ]
        figure = rows_figure(names, spans, float(steps[-1]), X_LABEL)
        yield Picture(
            "When each alarm rang", svg(figure, "Alarms"), "An alarm is a reason to look, not a verdict.", True
        )
        yield _alarm_table(run, names, columns, ringing, lengths)
    if run.warnings:
        yield Table(("the newest warnings of the log",), [(line,) for line in run.warnings], wide=True)


def _alarm_table(
    run: RecordedRun, names: Sequence[str], columns: Sequence[str], ringing: Any, lengths: Float64s
) -> Table:
    """Return how long each alarm rang and what it says. ringing: bool [points, alarms]; lengths: env steps [points]."""
    now = _alarms_now(run)
    total = max(float(lengths.sum()), 1.0)
    rows = []
    for name, column, on in zip(names, columns, ringing.T, strict=True):
        # "silent" if it never rang, "silent at the end" if it rang before.
        sentence = now.get(str(column).partition("/")[2]) or ("silent" if not on.any() else "silent at the end")
        rows.append((name, share(float(lengths[on].sum()) / total), sentence))
    return Table(("alarm", "rang for, of the env steps", "at the end"), rows, wide=True)


def _alarms_now(run: RecordedRun) -> dict[str, str | None]:
    """Return the sentences of the alarms that ring in the newest checkpoint; {} if they cannot be computed."""
    # The record may be of any age: each level may be missing.
    thresholds = ((run.config.get("callbacks") or {}).get("alarms") or {}).get("thresholds")
    if run.state is None or not thresholds:
        return {}
    try:
        return Alarms(thresholds).check(run.state.readings)
    except (ValueError, KeyError, TypeError):  # thresholds or readings of another version
        return {}

"""Why two players met in training, or never did: from the match records, the league and its matchmaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.players import Player


def explain_pair(
    first: str,
    second: str,
    league: Mapping[str, Any],
    matches: pd.DataFrame,
    trained: pd.Series | None,
    branches: Mapping[str, Sequence[Branch]],
) -> list[str]:
    """Sentences on the matches between two players that training played, or on why there are none.

    `league` is the league's state in a checkpoint; `matches` the records of the run (see `metrics.records`); `trained`
    the agent steps trained on by iteration (None if unknown); `branches` what the matchmaker would do now, by learner.
    Raises ValueError, naming those there are, for a name that is no learner and cannot be a snapshot of one.
    """
    one, other = sorted(_player(name, league) for name in (first, second))
    if absent := [text for player in dict.fromkeys((one, other)) if (text := _absent(player, league, matches))]:
        return absent + _met(one, other, matches)
    if one.is_snapshot and other.is_snapshot:
        return _snapshots(one, other, league, matches, trained)
    sentences = _met(one, other, matches) or [
        f"{other.id} and {one.id} never met in training.",
        *_since_its_freeze(one, league, matches, trained),
    ]
    for learner, opponent in dict.fromkeys(((other, one), (one, other))):
        sentences += _chance(learner, opponent, branches)
    return sentences


def _player(name: str, league: Mapping[str, Any]) -> Player:
    """Raises ValueError for a name that is no learner and no snapshot of one."""
    learners = [learner["lineage"] for learner in league["learners"]]
    try:
        player = Player.parse(name)
    except ValueError:
        player = None
    if player is None or (player.lineage not in learners and not _line(player.lineage, league)):
        newest = [f"{lineage}@0000 to {line[-1]}" for lineage in learners if (line := _line(lineage, league))]
        raise ValueError(f"the run has no player {name!r}; its players are {', '.join([*learners, *newest])}")
    return player


def _line(lineage: str, league: Mapping[str, Any]) -> list[str]:
    """The ids of a lineage's snapshots in the pool, oldest first."""
    return [item["player"] for item in league["snapshots"] if Player.parse(item["player"]).lineage == lineage]


def _absent(player: Player, league: Mapping[str, Any], matches: pd.DataFrame) -> str | None:
    """Why a player is not in the league, or None if it is."""
    line = _line(player.lineage, league)
    if not player.is_snapshot or player.id in line:
        return None
    if not line:
        return f"{player.id} does not exist: {player.lineage} has not been frozen yet."
    if player > Player.parse(line[-1]):
        return f"{player.id} does not exist: the newest snapshot of {player.lineage} is {line[-1]}."
    last = matches.loc[matches["opponent"] == player.id, "iteration"].max()
    met = "" if pd.isna(last) else f"; it was last played in iteration {last:,}"
    return f"{player.id} has left the pool, which had reached its limit (league.pool_limit){met}."


def _met(one: Player, other: Player, matches: pd.DataFrame) -> list[str]:
    """How often they met, by rule; empty if never."""
    learner, opponent = matches["learner"], matches["opponent"]
    rows = matches[((learner == one.id) & (opponent == other.id)) | ((learner == other.id) & (opponent == one.id))]
    rows = rows.assign(games=rows["wins"] + rows["draws"] + rows["losses"])
    total = int(rows["games"].sum())
    if not total:
        return []
    iterations = _range(int(rows["iteration"].min()), int(rows["iteration"].max()))
    sentences = [f"{other.id} and {one.id} met in {total:,} matches of training, in {iterations}:"]
    for (who, whom, rule), part in rows.groupby(["learner", "opponent", "rule"]):
        games = int(part["games"].sum())
        score = (part["wins"] + part["draws"] / 2).sum() / max(games, 1)
        low, high = part["probability"].min(), part["probability"].max()
        chance = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        scored = "" if who == whom else f", and scored {score:.3f}"
        sentences.append(
            f"{who} met {whom} by rule {rule} in {games:,} of them, with a probability of {chance}{scored}."
        )
    return sentences


def _range(first: int, last: int) -> str:
    return f"iteration {first:,}" if first == last else f"iterations {first:,} to {last:,}"


def _snapshots(
    one: Player, other: Player, league: Mapping[str, Any], matches: pd.DataFrame, trained: pd.Series | None
) -> list[str]:
    """Why snapshots never meet, and what was played before the newer one was frozen."""
    learners = ", ".join(learner["lineage"] for learner in league["learners"])
    if one == other:
        return [f"{one.id} never plays itself: in training one of the two is always a learner ({learners})."]
    sentences = [
        f"{one.id} and {other.id} never met in training: both are frozen, and in each match one of the two is a "
        f"learner ({learners})."
    ]
    steps = {item["player"]: item["agent_steps"] for item in league["snapshots"]}
    older, newer = sorted((one, other), key=lambda player: steps[player.id])
    if trained is not None:
        before = matches[matches["iteration"] <= _iteration(trained, steps[newer.id])]
        line = Player(newer.lineage)
        if played := _met(older, line, before[before["learner"] == line.id]):
            sentences += [f"But before it was frozen, {newer.id} was {line.id}. Until then:", *played]
    return sentences


def _iteration(trained: pd.Series, agent_steps: int) -> int:
    """The iteration by which so many agent steps had been trained on."""
    return int(trained[trained <= agent_steps].index.max()) if (trained <= agent_steps).any() else 0


def _since_its_freeze(
    one: Player, league: Mapping[str, Any], matches: pd.DataFrame, trained: pd.Series | None
) -> list[str]:
    """What a snapshot without a match had time for."""
    if not one.is_snapshot or trained is None:
        return []
    steps = next(item["agent_steps"] for item in league["snapshots"] if item["player"] == one.id)
    frozen = _iteration(trained, steps)
    later = matches[matches["iteration"] > frozen]
    games = int((later["wins"] + later["draws"] + later["losses"]).sum())
    return [f"{one.id} was frozen in iteration {frozen:,}; {games:,} matches were recorded after that."]


def _chance(learner: Player, opponent: Player, branches: Mapping[str, Sequence[Branch]]) -> list[str]:
    """What the matchmaker would do now."""
    if learner.is_snapshot:
        return []
    chances = {
        branch.rule: branch.probability * float(probability)
        for branch in branches.get(learner.id, ())
        for name, probability in zip(branch.opponents, branch.probabilities, strict=True)
        if name == opponent.id and probability > 0
    }
    if not chances:
        rules = ", ".join(sorted({branch.rule for branch in branches.get(learner.id, ())}))
        return [f"The matchmaker gives {learner.id} no chance of a match with {opponent.id} now (its rules: {rules})."]
    words = " and ".join(f"{chance:.3g} by rule {rule}" for rule, chance in chances.items())
    return [f"The matchmaker gives {learner.id} a match with {opponent.id} with a probability of {words} now."]

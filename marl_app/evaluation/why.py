"""Explain why two players met in training or never did, from match records, the league and its matchmaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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
    """Return sentences about the training matches between two players, or about why they played none.

    league: the league's state in a checkpoint.
    matches: the match records of the run (see `metrics.records`).
    trained: the agent steps trained on, by iteration; None if unknown.
    branches: by learner, the branches of the matchmaker as it is now.
    Raises ValueError, which lists the available players, for a name that is neither a learner nor a possible snapshot
    of a lineage of the league.
    """
    # In the order of lineage and age, the learner of a lineage last.
    first_player, second_player = sorted(_parse_player(name, league) for name in (first, second))
    players = dict.fromkeys((first_player, second_player))  # one if a player is compared with itself
    # 1. Players that are not in the league: say why, and what they played before.
    if absences := [text for player in players if (text := _explain_absence(player, league, matches))]:
        return absences + _describe_matches(first_player, second_player, matches)
    # 2. Two snapshots: neither trains, so they never meet.
    if first_player.is_snapshot and second_player.is_snapshot:
        return _explain_snapshots(first_player, second_player, league, matches, trained)
    # 3. A learner and a snapshot, or two learners: matches, else opportunities; then the current probabilities.
    sentences = _describe_matches(first_player, second_player, matches) or [
        f"{second_player.id} and {first_player.id} never met in training.",
        *_describe_opportunities(first_player, league, matches, trained),
    ]
    for learner, opponent in dict.fromkeys(((second_player, first_player), (first_player, second_player))):
        sentences += _describe_probability(learner, opponent, branches)
    return sentences


def _parse_player(name: str, league: Mapping[str, Any]) -> Player:
    """Return the player with this id. Raises ValueError if its lineage has neither a learner nor a snapshot."""
    learners = [learner["lineage"] for learner in league["learners"]]
    try:
        player: Player | None = Player.parse(name)
    except ValueError:
        player = None
    if player is None or (player.lineage not in learners and not _pool_ids(player.lineage, league)):
        newest = [f"{lineage}@0000 to {ids[-1]}" for lineage in learners if (ids := _pool_ids(lineage, league))]
        raise ValueError(f"the run has no player {name!r}; its players are {', '.join([*learners, *newest])}")
    return player


def _pool_ids(lineage: str, league: Mapping[str, Any]) -> list[str]:
    """Return the ids of a lineage's snapshots in the pool, oldest first."""
    return [item["player"] for item in league["snapshots"] if Player.parse(item["player"]).lineage == lineage]


def _explain_absence(player: Player, league: Mapping[str, Any], matches: pd.DataFrame) -> str | None:
    """Return why a player is not in the league; None if it is in it."""
    ids = _pool_ids(player.lineage, league)
    if not player.is_snapshot or player.id in ids:
        return None
    if not ids:
        return f"{player.id} does not exist: {player.lineage} has not been frozen yet."
    if player > Player.parse(ids[-1]):
        return f"{player.id} does not exist: the newest snapshot of {player.lineage} is {ids[-1]}."
    last = matches.loc[matches["opponent"] == player.id, "iteration"].max()
    last_played = "" if pd.isna(last) else f"; it was last played in iteration {last:,}"
    return f"{player.id} has left the pool, which had reached its limit (league.pool_limit){last_played}."


def _describe_matches(first: Player, second: Player, matches: pd.DataFrame) -> list[str]:
    """Return how often two players met in training, in all and by rule; [] if never."""
    # A match of two learners may be in the records of either.
    learner, opponent = matches["learner"], matches["opponent"]
    rows = matches[
        ((learner == first.id) & (opponent == second.id)) | ((learner == second.id) & (opponent == first.id))
    ]
    # A record is one row per iteration, learner, opponent, rule and side; several rows make up one sentence.
    rows = rows.assign(games=rows["wins"] + rows["draws"] + rows["losses"])
    total = int(rows["games"].sum())
    if not total:
        return []
    iterations = _range(int(rows["iteration"].min()), int(rows["iteration"].max()))
    sentences = [f"{second.id} and {first.id} met in {total:,} matches of training, in {iterations}:"]
    for (learner_id, opponent_id, rule), part in rows.groupby(["learner", "opponent", "rule"]):
        games = int(part["games"].sum())
        score = (part["wins"] + part["draws"] / 2).sum() / max(games, 1)
        low, high = part["probability"].min(), part["probability"].max()
        probability = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        scored = "" if learner_id == opponent_id else f", and scored {score:.3f}"  # in self-play always 0.5
        sentences.append(
            f"{learner_id} met {opponent_id} by rule {rule} in {games:,} of them, "
            f"with a probability of {probability}{scored}."
        )
    return sentences


def _range(first: int, last: int) -> str:
    return f"iteration {first:,}" if first == last else f"iterations {first:,} to {last:,}"


def _explain_snapshots(
    first: Player, second: Player, league: Mapping[str, Any], matches: pd.DataFrame, trained: pd.Series | None
) -> list[str]:
    """Return why two snapshots never meet, and the matches of the older one with the learner that became the newer."""
    learners = ", ".join(learner["lineage"] for learner in league["learners"])
    if first == second:
        return [f"{first.id} never plays itself: in training one of the two is always a learner ({learners})."]
    sentences = [
        f"{first.id} and {second.id} never met in training: both are frozen, and in each match one of the two is a "
        f"learner ({learners})."
    ]
    steps = {item["player"]: item["agent_steps"] for item in league["snapshots"]}
    older, newer = sorted((first, second), key=lambda player: steps[player.id])
    # Until it was frozen, the newer snapshot was the learner, whose matches against the older one are recorded.
    if trained is not None:
        before = matches[matches["iteration"] <= _iteration_of(trained, steps[newer.id])]
        learner = Player(newer.lineage)
        if played := _describe_matches(older, learner, before[before["learner"] == learner.id]):
            sentences += [f"But before it was frozen, {newer.id} was {learner.id}. Until then:", *played]
    return sentences


def _iteration_of(trained: pd.Series, agent_steps: int) -> int:
    """Return the last iteration after which at most `agent_steps` had been trained on; 0 if there was none.

    Interpolated linearly: `trained` may leave out iterations (`callbacks.metrics.every_seconds`).
    """
    iterations, steps = [0, *trained.index], [0, *trained]
    return int(np.interp(agent_steps, steps, iterations) + 1e-9)


def _describe_opportunities(
    player: Player, league: Mapping[str, Any], matches: pd.DataFrame, trained: pd.Series | None
) -> list[str]:
    """Return how many matches training recorded since a snapshot was frozen; [] for a learner, or if unknown."""
    if not player.is_snapshot or trained is None:
        return []
    steps = next(item["agent_steps"] for item in league["snapshots"] if item["player"] == player.id)
    frozen = _iteration_of(trained, steps)
    later = matches[matches["iteration"] > frozen]
    games = int((later["wins"] + later["draws"] + later["losses"]).sum())
    return [f"{player.id} was frozen in iteration {frozen:,}; {games:,} matches were recorded after that."]


def _describe_probability(learner: Player, opponent: Player, branches: Mapping[str, Sequence[Branch]]) -> list[str]:
    """Return the probability, by rule, of a learner meeting this opponent now; [] if `learner` is a snapshot."""
    if learner.is_snapshot:
        return []
    probabilities = {
        branch.rule: branch.probability * float(probability)
        for branch in branches.get(learner.id, ())
        for name, probability in zip(branch.opponents, branch.probabilities, strict=True)
        if name == opponent.id and probability > 0
    }
    if not probabilities:
        rules = ", ".join(sorted({branch.rule for branch in branches.get(learner.id, ())}))
        return [
            f"The matchmaker gives {learner.id} a match with {opponent.id} with probability 0 now (its rules: {rules})."
        ]
    by_rule = " and ".join(f"{probability:.3g} by rule {rule}" for rule, probability in probabilities.items())
    return [f"The matchmaker gives {learner.id} a match with {opponent.id} with a probability of {by_rule} now."]

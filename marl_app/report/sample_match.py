"""One match of the newest agent against its newest snapshot, or against itself, position by position."""

from __future__ import annotations

import base64
import io
from contextlib import closing

import numpy as np
from matplotlib.image import imsave

from marl_app.envs.batched import MakeEnv
from marl_app.envs.board import Board, Rendering
from marl_app.evaluation.frames import picture
from marl_app.evaluation.match import Match
from marl_app.players.agent import Agent
from marl_app.report.blocks import Absent, Boards, Position
from marl_app.runs.load import load_bytes
from marl_app.runs.members import Members

MOST_POSITIONS = 48
MOST_STEPS = 500
PICTURE_SIZE = 240  # pixels, of an environment that shows pictures


def sample_match(make_env: MakeEnv, members: Members, seed: int) -> Boards:
    """Play a match with sampled actions. The same seed gives the same match.

    Raises Absent for an environment that shows no match, and ValueError if a player is a bot.
    """
    with closing(make_env(1)) as env:
        env.enable_rendering(prefer_text=True)
        names = _names(members, len(env.sides))
        # Each player is loaded once, even if it plays several sides.
        agents = {name: Agent(load_bytes(members.run, name, trust=members.trust)) for name in dict.fromkeys(names)}
        by_agent = {agent: agents[name] for side, name in zip(env.sides, names, strict=True) for agent in side}
        match = Match(env, [by_agent[agent] for agent in range(len(env.agents))], (seed,))
        if env.render(0) is None:
            raise Absent("this environment does not show its matches (BatchedEnv.render)")
        # The position before the first step, and that after each step.
        positions = [_position("start", match.rendering())]
        while match.result is None and match.length < MOST_STEPS:
            positions.append(_step(match))
    who = ", ".join(f"{env.agents[side[0]]} is {name}" for side, name in zip(env.sides, names, strict=True))
    scores = match.result.scores if match.result else []
    ended = ", ".join(f"{name} {score:.3g}" for name, score in zip(names, scores, strict=False)) or "not over"
    # The page shows the last positions, because a match is decided at its end.
    left_out = len(positions) - MOST_POSITIONS
    note = f" The first {left_out} positions are left out." if left_out > 0 else ""
    caption = f"{who}. Scores: {ended}. Actions are sampled; in brackets their probabilities.{note}"
    return Boards(positions[-MOST_POSITIONS:], caption)


def _names(members: Members, sides: int) -> list[str]:
    """Return who plays each side: the newest agent the first one, and its newest snapshot, or itself, all others."""
    learners = members.state.learners
    if learners[0].side is not None:  # a pool per side: the first learner of each side
        return [next(learner.player.id for learner in learners if learner.side == side) for side in range(sides)]
    newest = learners[0].player.id
    own = [snapshot.player.id for snapshot in members.state.snapshots if snapshot.player.lineage == newest]
    return [newest, *[own[-1] if own else newest] * (sides - 1)]


def _step(match: Match) -> Position:
    """Play a step; return its actions with their probabilities, and the position after it."""
    # Asked before the step: the probabilities belong to the position in which the action was chosen.
    before = {match.env.agents[agent]: match.advice(agent).probabilities for agent in match.acting}
    number = match.length
    match.step()
    played = []
    for move in match.moves:
        if move.step == number:
            probability = (before[move.agent] or {}).get(move.name)
            played.append(f"{move.agent}: {move.name}" + ("" if probability is None else f" ({probability:.2f})"))
    return _position(f"{number + 1}. {', '.join(played)}", match.rendering())


def _position(caption: str, rendering: Rendering) -> Position:
    if isinstance(rendering, np.ndarray):
        buffer = io.BytesIO()
        imsave(buffer, picture(rendering, PICTURE_SIZE), format="png")
        return Position(caption, image=f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return Position(caption, rendering.text() if isinstance(rendering, Board) else rendering)

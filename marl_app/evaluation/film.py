"""A match between players as pictures: a film of all its steps, or a strip of some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np

from marl_app.envs.batched import BatchedEnv, MakeEnv
from marl_app.envs.board import Board, symbol
from marl_app.evaluation.frames import Pixels, picture, strip, titled
from marl_app.evaluation.match import Match, Player
from marl_app.players.anchors import make_anchor

MOST_STEPS = 1000
"""Of a match that is drawn as a strip."""


def film(match: Match, names: Mapping[int, str], size: int, max_steps: int) -> list[Pixels]:
    """Play a match without people, and return a frame before its first step and after each one.

    names: of the players, by agent. size: the largest height and width of the environment's picture, in pixels.
    max_steps: steps after which the film ends although the match goes on.
    """
    rendering = match.rendering()
    seats = _seats(match.env, names, isinstance(rendering, Board))
    frames = [titled(picture(rendering, size), f"{seats}\nstart")]
    while match.result is None and match.length < max_steps:
        match.step()
        before, rendering = rendering, match.rendering()
        frames.append(titled(picture(rendering, size, before), f"{seats}\n{_caption(match)}"))
    return frames


def match_strip(
    make_env: MakeEnv, players: Sequence[Player], anchor: str | None, seed: int, size: int = 160, frames: int = 8
) -> Pixels | None:
    """Return a greedy match as a strip of at most `frames` positions, evenly spaced from the first to the last one.

    players: one for all sides, or one per side. anchor: plays all sides but the first; None: the players play alone.
    size: the largest height and width of a position, in pixels.
    Returns None if the environment shows nothing. A match is shown up to MOST_STEPS steps.
    """
    with closing(make_env(1)) as env:
        env.enable_rendering(prefer_text=False)
        # By side: the players in turn; then the anchor replaces all but the first.
        of_side = [players[side % len(players)] for side in range(len(env.sides))]
        names = ["agent"] * len(of_side)
        if anchor is not None:
            others = len(of_side) - 1
            of_side[1:], names[1:] = [make_anchor(env, anchor)] * others, [anchor] * others
        side_of = {agent: side for side, agents in enumerate(env.sides) for agent in agents}
        agents = range(len(env.agents))
        match = Match(env, [of_side[side_of[agent]] for agent in agents], (seed,), greedy=True)
        renderings = [env.render(0)]
        while match.result is None and match.length < MOST_STEPS and renderings[-1] is not None:
            match.step()
            renderings.append(env.render(0))
        shown = [rendering for rendering in renderings if rendering is not None]
        if not shown:
            return None
        # Steps evenly spaced from the first to the last; rounding may name one twice.
        chosen = np.unique(np.linspace(0, len(shown) - 1, min(frames, len(shown))).round().astype(int)).tolist()
        pictures = [
            titled(picture(shown[step], size, shown[step - 1] if step else None), f"step {step}") for step in chosen
        ]
        seats = _seats(env, {agent: names[side_of[agent]] for agent in agents}, isinstance(shown[0], Board))
        return titled(strip(pictures), f"{seats}\n{_caption(match)}")


def _seats(env: BatchedEnv, names: Mapping[int, str], has_board: bool) -> str:
    """Return who plays for which agent: a line, or several if it is long."""
    words = [f"{env.agents[agent]}{f' ({symbol(agent)})' if has_board else ''}: {names[agent]}" for agent in names]
    if len(set(names.values())) == 1 and len(words) > 2:
        words = [f"all agents: {names[0]}"]
    line = "   ".join(words)
    return line if len(line) < 64 else "\n".join(words)


def _caption(match: Match) -> str:
    """Return the last step's number and moves, and the result."""
    last = [move for move in match.moves if move.step == match.length - 1]
    moves = ", ".join(f"{move.agent} {move.name}" for move in last) if len(last) <= 2 else ""
    result = ""
    if match.result is not None:
        scores = [score for score in match.result.scores if not np.isnan(score)]
        result = "   scores " + " : ".join(f"{score:.3g}" for score in scores) if len(match.env.sides) > 1 else ""
        result = result or f"   return per agent {np.mean(match.result.returns):.3g}"
    return f"step {match.length}   {moves}{result}"

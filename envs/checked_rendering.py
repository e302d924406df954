"""Check what an environment shows to people: renderings, names of actions, and that looking changes nothing."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, MakeEnv
from marl_app.envs.board import NO_ACTION, NO_PIECE, Board
from marl_app.envs.checked_play import require
from marl_app.envs.random_play import random_actions, rows_by_group


def check_rendering(make: MakeEnv, steps: int, seed: int) -> None:
    """Play a match of at most `steps` steps that is shown after each step, next to the same match that is not shown.

    Raises AssertionError with one line that names the violated promise.
    """
    with closing(make(1)) as plain, closing(make(1)) as shown:
        shown.enable_rendering(prefer_text=False)
        # For each match one generator for the environment, and one that chooses its actions: equal in both matches.
        rngs, choosers = ([np.random.default_rng(seed + part) for _ in range(2)] for part in range(2))
        for env, rng in zip((plain, shown), rngs, strict=True):
            env.reset(rng)
        _check_renderings(shown)
        for _ in range(steps):
            _check_names(shown)
            steps_of = [
                env.step(random_actions(env, chooser), rng)
                for env, chooser, rng in zip((plain, shown), choosers, rngs, strict=True)
            ]
            _check_renderings(shown)
            first, second = ((*step, *_observed(env)) for step, env in zip(steps_of, (plain, shown), strict=True))
            same = len(first) == len(second) and all(map(np.array_equal, first, second))
            require(same, "a match that was rendered went another way: render() must not change it")
            if steps_of[0].over[0]:
                return


def _observed(env: BatchedEnv) -> list[Array]:
    """Return who acts, and what these agents observe."""
    acting = env.acting()
    return [acting, *(env.observe(matches, agents) for _, matches, agents, _ in rows_by_group(env, acting))]


def _check_renderings(env: BatchedEnv) -> None:
    """Check what all agents together, and each acting agent, are shown."""
    # None: for a viewer who may see all.
    for agent in (None, *np.flatnonzero(env.acting()[0]).tolist()):
        rendering = env.render(0, agent)
        if isinstance(rendering, Board):
            _check_board(env, rendering)
        elif rendering is not None and not isinstance(rendering, str):
            fits = (
                isinstance(rendering, np.ndarray)
                and rendering.dtype == np.uint8
                and rendering.ndim == 3
                and rendering.shape[2] == 3
            )
            require(fits, "render() must return a text, an array uint8 [height, width, 3], a Board or None")


def _check_board(env: BatchedEnv, board: Board) -> None:
    rows, columns = board.pieces.shape
    require(board.actions.shape == (rows, columns), "render(): pieces and actions of the Board differ in shape")
    for labels, count, name in ((board.column_labels, columns, "column"), (board.row_labels, rows, "row")):
        require(len(labels) in (0, count), f"render(): the Board has {len(labels)} {name} labels for {count} {name}s")
    known = (board.pieces >= NO_PIECE) & (board.pieces < len(env.agents))
    require(bool(known.all()), "render(): a piece of the Board belongs to no agent")
    # A cell may only stand for a legal action of an agent that acts. Without masks there is nothing to compare with.
    legal = {NO_ACTION}
    for _, matches, agents, _ in rows_by_group(env, env.acting()):
        mask = env.action_mask(matches, agents)
        if mask is not None:
            legal |= {NO_ACTION, *np.flatnonzero(mask.any(axis=0)).tolist()}
    if len(legal) > 1:
        illegal = set(np.unique(board.actions).tolist()) - legal
        require(not illegal, f"render(): a cell of the Board stands for actions that are not legal: {sorted(illegal)}")


def _check_names(env: BatchedEnv) -> None:
    """Check that legal actions have different names, and that viewers get the same name or none."""
    for index, matches, agents, _ in rows_by_group(env, env.acting()):
        space = env.groups[index].action_space
        if not isinstance(space, spaces.Discrete):
            continue
        masks: Any = env.action_mask(matches, agents)
        for row, agent in enumerate(agents.tolist()):
            legal = range(int(space.n)) if masks is None else np.flatnonzero(masks[row]).tolist()
            names = [env.action_name(0, agent, action) for action in legal]
            require(all(names), f"action_name(): a legal action of agent {env.agents[agent]} has no name")
            require(len(set(names)) == len(names), f"action_name(): two legal actions have one name: {names}")
            # One action is enough to see whether names depend on the viewer.
            for viewer in range(len(env.agents)):
                seen = env.action_name(0, agent, legal[0], viewer)
                require(seen in (None, names[0]), "action_name(): an action has another name for a viewer")

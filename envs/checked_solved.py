"""Check the solved positions of an environment that offers them; used by `envs.checker`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv, Bools, MakeEnv
from marl_app.envs.checked_play import require
from marl_app.envs.random_play import rows_by_group
from marl_app.envs.solved import SolvedBatch, SolvedPosition, batches_by_length


def check_solved(make: MakeEnv) -> None:
    """Check that recorded moves are legal, and that values are in -1, 0, 1 and of exactly the legal actions.

    Whether the values are true is not checked. Raises AssertionError with one line that names the violated promise.
    """
    with closing(make(1)) as env:
        positions = env.solved_positions()
        if positions is None:
            return
        _check_values(env, positions)
        actions = env.groups[0].mask_size
    # A match for each position, those of the same length together.
    for batch in batches_by_length(positions, actions):
        with closing(make(len(batch.moves))) as env:
            _check_batch(env, batch)


def _check_values(env: BatchedEnv, positions: Sequence[SolvedPosition]) -> None:
    """Check what can be seen without a match."""
    require(len(positions) > 0, "solved_positions() is empty: return None if there are none")
    require(len(env.sides) == 2, f"solved positions are of two sides, but the environment has {len(env.sides)}")
    first = env.groups[0].action_space
    require(
        isinstance(first, spaces.Discrete) and all(group.action_space == first for group in env.groups),
        "an environment with solved positions must have one Discrete action space for all agents",
    )
    for moves, values in positions:
        require(set(values.values()) <= {-1, 0, 1}, f"solved position {moves}: a value is not -1, 0 or 1")
        require(len(set(values.values())) > 1, f"solved position {moves}: no move is a mistake, all values are equal")
        known = all(0 <= action < env.groups[0].mask_size for action in values)
        require(known, f"solved position {moves}: a value is of an action outside the action space")


def _check_batch(env: BatchedEnv, batch: SolvedBatch) -> None:
    """Play the recorded moves and compare the legal actions."""
    rng = np.random.default_rng(0)
    # Solved positions are of games without chance: the environment must leave the generator as it is.
    fresh = rng.bit_generator.state
    rows, length = np.arange(len(batch.moves)), batch.moves.shape[1]
    env.reset(rng)
    # All positions of the batch are the same number of moves away, so their matches step together.
    for ply in range(length):
        legal = _legal_actions(env)
        for match in (~legal[rows, batch.moves[:, ply]]).nonzero()[0]:
            require(False, f"solved position {_name(batch, match)}: its move number {ply + 1} is not legal")
        moves = np.repeat(batch.moves[:, ply, None], len(env.agents), axis=1)  # [K, agents], only the mover's counts
        step = env.step([moves[:, group.agents] for group in env.groups], rng)
        for match in step.over.nonzero()[0]:
            require(False, f"solved position {_name(batch, match)}: the match is over after {ply + 1} of its moves")
    require(rng.bit_generator.state == fresh, "an environment with solved positions drew random numbers")
    # [K, n] bool: the legal actions in each position, and those that have a value.
    legal, listed = _legal_actions(env), ~np.isnan(batch.values)
    for match in (legal != listed).any(axis=1).nonzero()[0]:
        there, given = legal[match].nonzero()[0].tolist(), listed[match].nonzero()[0].tolist()
        require(False, f"solved position {_name(batch, match)}: its values are of {given}, but {there} are legal")


def _legal_actions(env: BatchedEnv) -> Bools:
    """Return the legal actions of the agent to move in each match: bool [B, n]."""
    acting = env.acting()
    require(bool((acting.sum(axis=1) == 1).all()), "in a solved position exactly one agent must be to move")
    legal = np.ones((env.num_matches, env.groups[0].mask_size), np.bool_)
    for _, matches, agents, _ in rows_by_group(env, acting):
        mask = env.action_mask(matches, agents)
        if mask is not None:
            legal[matches] = mask
    return legal


def _name(batch: SolvedBatch, match: np.int64) -> str:
    return str(tuple(batch.moves[match].tolist()))

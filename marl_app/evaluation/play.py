"""Matches for measuring: each is played once, from the game's own start to its end, and counts once.

Sampling for a fixed number of steps would count short matches more often than long ones. Here B matches start together
and nothing starts in the place of one that ended, so all lengths count alike. Random openings are not played.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Floats, Group, Ints
from marl_app.players.policy import Follower, Policy, best_legal


class Played(NamedTuple):
    """How B matches ended: the sides' scores, float32 [B, sides] in [0, 1], and the agents' returns, [B, agents]."""

    scores: Floats
    returns: Floats


def play_matches(
    env: BatchedEnv,
    players: Sequence[Policy | Follower],
    seats: Ints,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Floats:
    """The scores of `play`, float32 [B, sides] in [0, 1]."""
    return play_with_returns(env, players, seats, rng, greedy=greedy).scores


def play_with_returns(
    env: BatchedEnv,
    players: Sequence[Policy | Follower],
    seats: Ints,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Played:
    """Play all B matches of `env` to their ends.

    `seats`, int [B, sides]: the index into `players` of who plays each side of each match.
    `greedy` is passed to the policies.
    Raises ValueError for seats of another shape.
    """
    if seats.shape != (env.num_matches, len(env.sides)):
        raise ValueError(f"seats must be [{env.num_matches}, {len(env.sides)}], not {list(seats.shape)}")
    side_of = np.empty(len(env.agents), np.int64)
    for side, agents in enumerate(env.sides):
        side_of[list(agents)] = side
    player_of = seats[:, side_of]  # [B, agents]

    env.reset(rng)
    for player in players:
        if isinstance(player, Follower):
            player.start(env.num_matches, rng)
    memories = {  # what each player remembers of the agents that it plays
        index: np.zeros((env.num_matches, len(env.agents), player.memory_size), np.float32)
        for index, player in enumerate(players)
        if not isinstance(player, Follower) and player.memory_size
    }
    running = np.ones(env.num_matches, np.bool_)
    scores = np.zeros(seats.shape, np.float32)
    returns = np.zeros(player_of.shape, np.float32)
    while running.any():
        # A match that ended was reset, because all matches step together; its moves mean nothing and are idle ones.
        acting = env.acting()
        turns = np.where(running[:, None], player_of, -1)
        moves = [_moves(env, group, acting, turns, players, memories, rng, greedy) for group in env.groups]
        step = env.step(moves, rng)
        returns[running] += step.rewards[running]
        ended = step.terminated | step.truncated
        counted = (ended & running).nonzero()[0]
        scores[counted] = env.scores(counted)
        running &= ~ended
        if ended.any():
            env.reset(rng, ended.nonzero()[0])
    return Played(scores, returns)


def _moves(
    env: BatchedEnv,
    group: Group,
    acting: Array,
    turns: Ints,
    players: Sequence[Policy | Follower],
    memories: Mapping[int, Array],
    rng: np.random.Generator,
    greedy: bool,
) -> Array:
    """Actions [B, n_group, ...] of one group; `turns` [B, agents] is the player that decides, -1 for idle moves."""
    space = group.action_space
    dtype = np.float32 if isinstance(space, spaces.Box) else np.int64
    actions = np.zeros((env.num_matches, len(group.agents), *(space.shape or ())), dtype)
    matches, columns = acting[:, group.agents].nonzero()
    agents = np.asarray(group.agents, np.int64)[columns]
    for index in np.unique(turns[matches, agents]):
        own = turns[matches, agents] == index
        rows = (matches[own], agents[own])
        player = players[index] if index >= 0 else None
        if isinstance(player, Follower):
            chosen: Array = player.choose(*rows)
        else:
            masks = env.action_mask(*rows)
            if player is None:
                chosen = _idle(space, masks, len(rows[0]))
            else:
                memory = memories[index][rows] if index in memories else None
                chosen = player.act(env.observe(*rows), masks, rows[1], rng=rng, greedy=greedy, memory=memory)
                if memory is not None:
                    chosen, memories[index][rows] = chosen
        actions[matches[own], columns[own]] = chosen
    counted = turns[matches, agents] >= 0
    for player in players:
        if isinstance(player, Follower):
            player.follow(matches[counted], agents[counted], actions[matches, columns][counted])
    return actions


def _idle(
    space: spaces.Discrete[np.int64] | spaces.MultiDiscrete | spaces.Box, masks: Array | None, rows: int
) -> Array:
    """Some legal action per row, always the same one: the first, or the one nearest to zero of a `Box`."""
    if isinstance(space, spaces.Box):
        return np.broadcast_to(np.clip(0.0, space.low, space.high), (rows, *space.shape))
    if masks is None:
        return np.zeros((rows, *(space.shape or ())), np.int64)
    return best_legal(np.zeros(masks.shape), masks, space)

"""Play B matches for measurement: each is played once, from the initial state to the end, and counts once.

Sampling for a fixed number of steps would count short matches more often than long ones. Here B matches start together
and no new match replaces one that ended, so matches of all lengths have the same weight. Random openings are off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Float32s, Group, Ints
from marl_app.players.policy import Follower, Policy, best_legal

MAX_MATCH_STEPS = 20_000
"""Env steps after which a match counts as endless. Random games of chess take up to a few thousand."""


class MatchTooLongError(RuntimeError):
    """Matches do not end under the players that are measured."""


class Played(NamedTuple):
    """Results of B matches: the scores of sides, float32 [B, sides] in [0, 1], and returns of agents, [B, agents].

    The score of a side that took no part in a match is NaN.
    """

    scores: Float32s
    returns: Float32s


def play_matches(
    env: BatchedEnv,
    players: Sequence[Policy | Follower],
    seats: Ints,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Float32s:
    """Play all B matches of `env` to their ends and return the scores of the sides, as in `Played`.

    Arguments and errors as in `play_with_returns`.
    """
    return play_with_returns(env, players, seats, rng, greedy=greedy).scores


def play_with_returns(
    env: BatchedEnv,
    players: Sequence[Policy | Follower],
    seats: Ints,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Played:
    """Play all B matches of `env` to their ends and return their scores and undiscounted returns.

    seats: int64 [B, sides], the index into `players` of the player on each side of each match.
    greedy: passed to the policies; followers ignore it.
    Raises ValueError for seats of another shape, MatchTooLongError if a match has not ended after 20,000 steps.
    """
    if seats.shape != (env.num_matches, len(env.sides)):
        raise ValueError(f"seats must be [{env.num_matches}, {len(env.sides)}], not {list(seats.shape)}")
    side_of = np.empty(len(env.agents), np.int64)
    for side, agents in enumerate(env.sides):
        side_of[list(agents)] = side
    return play_agents(env, players, seats[:, side_of], rng, greedy=greedy)


def play_agents(
    env: BatchedEnv,
    players: Sequence[Policy | Follower],
    player_of: Ints,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Played:
    """Play all B matches as `play_with_returns`, with a player for each agent: teammates may be different players.

    player_of: int64 [B, agents], the index into `players` of the player of each agent of each match.
    """
    env.reset(rng)
    for player in players:
        if isinstance(player, Follower):
            player.start(env.num_matches, rng)
    memories = {  # by player index: float32 [B, agents, memory_size]; rows of agents it does not play stay zero
        index: np.zeros((env.num_matches, len(env.agents), player.memory_size), np.float32)
        for index, player in enumerate(players)
        if not isinstance(player, Follower) and player.memory_size
    }
    running = np.ones(env.num_matches, np.bool_)  # [B] True until a match's first end
    steps = 0
    scores = np.zeros((env.num_matches, len(env.sides)), np.float32)
    returns = np.zeros(player_of.shape, np.float32)
    while running.any():
        if steps == MAX_MATCH_STEPS:
            raise MatchTooLongError(
                f"{int(running.sum())} of {env.num_matches} matches have not ended after {steps:,} steps: these "
                "players may go on forever; give the environment a limit of steps"
            )
        steps += 1
        # All matches step together, so a match that ended is reset and steps on; its agents take idle actions and its
        # rewards and scores are ignored.
        acting = env.acting()
        turns = np.where(running[:, None], player_of, -1)  # [B, agents] who decides; -1: idle
        moves = [_moves(env, group, acting, turns, players, memories, rng, greedy) for group in env.groups]
        step = env.step(moves, rng)
        returns[running] += step.rewards[running]
        # Only a match's first end counts. Scores must be read before the reset.
        counted = (step.over & running).nonzero()[0]
        scores[counted] = env.scores(counted)
        running &= ~step.over
        if step.over.any():
            env.reset(rng, step.over.nonzero()[0])
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
    """Return the actions [B, n_group, ...] of one group and update `memories`.

    acting: bool [B, agents], who must act. turns: int64 [B, agents], the index of the player that decides; -1 for an
    idle action. The columns of an agent that need not act stay 0.
    """
    space = group.action_space
    dtype = np.float32 if isinstance(space, spaces.Box) else np.int64
    actions = np.zeros((env.num_matches, len(group.agents), *(space.shape or ())), dtype)
    # One row per agent of the group that must act: its match, its column in `actions`, its agent index.
    matches, columns = acting[:, group.agents].nonzero()
    agents = np.asarray(group.agents, np.int64)[columns]
    for index in np.unique(turns[matches, agents]):  # one forward pass per player
        decided = turns[matches, agents] == index
        rows = (matches[decided], agents[decided])
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
        actions[matches[decided], columns[decided]] = chosen
    # Followers track the matches, so they receive all moves of this step, but not the idle ones.
    counted = turns[matches, agents] >= 0
    for player in players:
        if isinstance(player, Follower):
            player.follow(matches[counted], agents[counted], actions[matches, columns][counted])
    return actions


def _idle(
    space: spaces.Discrete[np.int64] | spaces.MultiDiscrete | spaces.Box, masks: Array | None, rows: int
) -> Array:
    """Return a fixed legal action per row: the first one, or in a `Box` the one nearest to zero."""
    if isinstance(space, spaces.Box):
        return np.broadcast_to(np.clip(0.0, space.low, space.high), (rows, *space.shape))
    if masks is None:
        return np.zeros((rows, *(space.shape or ())), np.int64)
    return best_legal(np.zeros(masks.shape), masks, space)

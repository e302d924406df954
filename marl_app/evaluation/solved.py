"""Measure players in solved positions: how often their move keeps the value of the position.

In Connect Four and similar games this is the usual measure of play against a perfect solver. Opponents do not matter
for it, so it separates players that beat all anchors, and it can be compared across runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from marl_app.envs.batched import Array, BatchedEnv, Float32s, Ints, MakeEnv
from marl_app.envs.random_play import rows_by_group
from marl_app.envs.solved import SolvedBatch, batches_by_length
from marl_app.league.payoff import wilson
from marl_app.players.agent import Agent
from marl_app.players.policy import Follower, Policy, RandomPolicy


class ValuePreserving(NamedTuple):
    """The share of solved positions in which a player's greedy move has the best value, with its 95 % Wilson interval.

    sampled: the expected share with sampled actions, from the player's probabilities; NaN for bots, which give none.
    positions: their number.
    """

    share: float
    low: float
    high: float
    sampled: float
    positions: int


def value_preserving_moves(
    make_env: MakeEnv, players: Sequence[Policy | Follower], rng: np.random.Generator
) -> ValuePreserving:
    """Return the share of value-preserving moves in all solved positions of the environment.

    players: one for both sides, or one per side; that of the side to move answers.
    `make_env(num_matches)` makes the environments, which are closed in the end.
    Raises ValueError if the environment has no solved positions.
    """
    with closing(make_env(1)) as env:
        positions, actions = env.solved_positions(), env.groups[0].mask_size
    if not positions:
        raise ValueError("the environment offers no solved positions")
    kept, sampled = [], []  # per position: whether the move keeps the value; the probability that a sampled one does
    for batch in batches_by_length(positions, actions):
        with closing(make_env(len(batch.moves))) as env:
            chosen, probabilities = _answers(env, batch, players, rng)
        is_best = batch.values == np.nanmax(batch.values, axis=1, keepdims=True)  # [K, n]; an illegal action never is
        kept.append(is_best[np.arange(len(chosen)), chosen])
        sampled.append((probabilities * is_best).sum(axis=1))
    # Every position counts the same, whatever the length of its history.
    share = float(np.concatenate(kept).mean())
    low, high = wilson(share, len(positions))
    expected = float(np.concatenate(sampled).mean(dtype=np.float64))
    return ValuePreserving(share, float(low), float(high), expected, len(positions))


def _answers(
    env: BatchedEnv, batch: SolvedBatch, players: Sequence[Policy | Follower], rng: np.random.Generator
) -> tuple[Ints, Float32s]:
    """Play the recorded moves, then ask the players: return actions [K] and probabilities [K, n], NaN if unknown.

    Players with a memory observe the recorded moves, and followers follow them, as if they had played.
    """
    matches, length = np.arange(env.num_matches), batch.moves.shape[1]
    for player in players:
        if isinstance(player, Follower):
            player.start(env.num_matches, rng)
    # By player: float32 [K, agents, memory_size].
    memories = [
        np.zeros((env.num_matches, len(env.agents), getattr(player, "memory_size", 0)), np.float32)
        for player in players
    ]
    env.reset(rng)
    for ply in range(length):
        # Memories are updated before the recorded move, in the position in which it was played.
        _ask(env, players, memories, rng, only_memories=True)
        moves = np.repeat(batch.moves[:, ply, None], len(env.agents), axis=1)  # [K, agents], only the mover's counts
        for player in players:
            if isinstance(player, Follower):
                player.follow(matches, env.acting().argmax(axis=1), batch.moves[:, ply])
        env.step([moves[:, group.agents] for group in env.groups], rng)
    return _ask(env, players, memories, rng)


def _ask(
    env: BatchedEnv,
    players: Sequence[Policy | Follower],
    memories: Sequence[Array],
    rng: np.random.Generator,
    *,
    only_memories: bool = False,
) -> tuple[Ints, Float32s]:
    """Return the actions [K] of the players of the sides to move, and their probabilities [K, n]; update `memories`.

    only_memories: ask only players with a memory.
    """
    actions = np.zeros(env.num_matches, np.int64)
    probabilities = np.full((env.num_matches, env.groups[0].mask_size), np.nan, np.float32)
    acting = env.acting()  # bool [K, agents], True for one agent of each match
    for index, player in enumerate(players):
        if only_memories and not getattr(player, "memory_size", 0):
            continue
        # The agents that this player controls: all of them, or those of its side.
        agents_of = [agent for side in env.sides[index :: len(players)] for agent in side]
        for _, matches, agents, _ in rows_by_group(env, acting & np.isin(np.arange(len(env.agents)), agents_of)):
            if isinstance(player, Follower):
                actions[matches] = player.choose(matches, agents)
                continue
            rows = (env.observe(matches, agents), env.action_mask(matches, agents), agents)
            memory = memories[index][matches, agents] if player.memory_size else None
            if isinstance(player, Agent):
                probabilities[matches] = player.probabilities(*rows, memory)
            elif isinstance(player, RandomPolicy):
                probabilities[matches] = player.probabilities(*rows)
            answer = player.act(*rows, rng=rng, greedy=True, memory=memory)
            if memory is not None:
                answer, memories[index][matches, agents] = answer
            actions[matches] = answer
    return actions, probabilities

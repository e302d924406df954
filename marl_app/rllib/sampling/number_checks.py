"""Checks of the numbers that an environment hands out, where they enter training.

One reward of 1e30, or one observation that is not a number, spoils running statistics and then the weights, and nothing
says so. Here such a number is an exception of the env runner, which starts its matches again; three exceptions in a row
end the run.

Shapes: B matches, R rows, K ended matches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import LARGEST_OBSERVATION, LARGEST_REWARD, BatchedEnv

Array = NDArray[Any]
Ints = NDArray[np.int64]


def check_rewards(env: BatchedEnv, rewards: Array, lengths: Ints) -> None:
    """Raise ValueError, naming agent, match and step, for a reward [B, agents] that is not finite, or of extreme size.

    lengths: [B], steps of each match before this one.
    """
    fits = np.abs(rewards) <= LARGEST_REWARD  # [B, agents], False for NaN
    if fits.all():
        return
    match, agent = np.argwhere(~fits)[0]
    raise ValueError(
        f"{_where(env, match, agent, lengths)}: the reward is {rewards[match, agent]}, and must be finite and at most "
        f"{LARGEST_REWARD:g} in size"
    )


def check_observations(env: BatchedEnv, observations: Array, matches: Ints, agents: Ints, lengths: Ints) -> None:
    """Raise ValueError, as `check_rewards`, for observations [R, *shape] of agents [R] in matches [R]."""
    if observations.dtype.kind != "f" or not observations.size:
        return
    # Two reductions, without a temporary array; both comparisons are False for NaN.
    if observations.min() >= -LARGEST_OBSERVATION and observations.max() <= LARGEST_OBSERVATION:
        return
    flat = observations.reshape(len(observations), -1)
    fits = np.abs(flat) <= LARGEST_OBSERVATION
    row, number = np.argwhere(~fits)[0]
    raise ValueError(
        f"{_where(env, matches[row], agents[row], lengths)}: the observation has the value {flat[row, number]}, and "
        f"must be finite and at most {LARGEST_OBSERVATION:g} in size"
    )


def check_scores(env: BatchedEnv, scores: Array, ended: Ints) -> None:
    """Raise ValueError, naming the match, for scores [K, sides] that break the contract; NaN is an absent side."""
    # [K] bool. A comparison with NaN is False, so an absent side is never wrong.
    wrong = ((scores < 0) | (scores > 1)).any(axis=1)
    if len(env.sides) == 2:
        wrong |= np.abs(scores.sum(axis=1) - 1) > 1e-3  # False with an absent side
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{type(env).__name__}: the scores of match {ended[row]} are {scores[row].tolist()}: each must be in "
            "[0, 1], and those of two sides sum to 1"
        )


def _where(env: BatchedEnv, match: int, agent: int, lengths: Ints) -> str:
    return f"{type(env).__name__}: match {match}, agent {env.agents[agent]}, step {lengths[match]}"

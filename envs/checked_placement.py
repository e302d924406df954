"""Check the placement that an environment states, by playing matches and comparing with what it predicts."""

from __future__ import annotations

from contextlib import closing

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv, Bools, Group, MakeEnv
from marl_app.envs.checked_play import require
from marl_app.envs.placement import afterstates, misfit
from marl_app.envs.random_play import random_actions, rows_by_group


def check_placement(make: MakeEnv, num_matches: int, steps: int, seed: int) -> None:
    """Play `steps` steps of random matches, and compare boards, legal actions, ends and rewards with the placement's.

    Does nothing if no group states one. Raises AssertionError.
    """
    with closing(make(num_matches)) as env:
        stated = [group for group in env.groups if group.placement is not None]
        for group in stated:
            _check_structure(group)
        if stated:
            _play(env, steps, seed)


def _check_structure(group: Group) -> None:
    """Check the spaces of a group with a placement, and that its cells are on the board."""
    assert group.placement is not None
    require(isinstance(group.action_space, spaces.Discrete), f"group {group.name}: placement needs Discrete actions")
    problem = misfit(group.placement, group.observation_space.shape, group.mask_size)
    require(problem is None, f"group {group.name}: placement {problem}")


def _play(env: BatchedEnv, steps: int, seed: int) -> None:
    chooser, rng = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    env.reset(rng)
    for _ in range(steps):
        actions = random_actions(env, chooser)
        # 1. From the boards before the step, predict those after the chosen actions, legal actions and complete lines.
        predicted = []
        for index, matches, agents, places in rows_by_group(env, env.acting()):
            placement = env.groups[index].placement
            if placement is None:
                continue
            boards, legal, wins = afterstates(env.observe(matches, agents), placement)
            mask = env.action_mask(matches, agents)
            same = bool(legal.all()) if mask is None else np.array_equal(legal, mask)
            require(same, "placement: it allows other actions than the environment")
            rows, chosen = np.arange(len(matches)), actions[index][matches, places]
            predicted.append((matches, agents, boards[rows, chosen], wins[rows, chosen]))
        # 2. Compare with what the same agents observe after the step.
        step = env.step(actions, rng)
        for matches, agents, boards, wins in predicted:
            require(np.array_equal(env.observe(matches, agents), boards), "placement: it predicts another board")
            # [R] bool: no cell is empty.
            full: Bools = np.all(np.any(boards, axis=3), axis=(1, 2))
            require(np.array_equal(step.over[matches], wins | full), "placement: it predicts another end of the match")
            won = step.rewards[matches, agents] > 0
            require(np.array_equal(won, wins), "placement: the reward is positive, and no line complete, or not so")
        env.reset(rng, step.over.nonzero()[0])

"""Check the symmetries that an environment states, by playing matches and their views side by side."""

from __future__ import annotations

from contextlib import closing

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv, Group, Ints, MakeEnv
from marl_app.envs.checked_play import require
from marl_app.envs.random_play import random_actions, rows_by_group
from marl_app.envs.symmetries import Views


def check_symmetries(make: MakeEnv, num_matches: int, steps: int, seed: int) -> None:
    """Check the structure of all symmetries; play `steps` steps of matches in every view, and compare.

    Both matches draw from generators with the same seed. Raises AssertionError.
    """
    with closing(make(1)) as env:
        groups = [group for group in env.groups if group.symmetries is not None]
        for group in groups:
            _check_structure(group)
        counts = {len(group.symmetries.actions) for group in groups if group.symmetries is not None}
        require(len(counts) <= 1, f"symmetries: the groups have different numbers of views, {sorted(counts)}")
    for view in range(1, max(counts, default=1)):
        with closing(make(num_matches)) as original, closing(make(num_matches)) as mirrored:
            _compare(original, mirrored, view, steps, seed)


def _check_structure(group: Group) -> None:
    """Check that the symmetries of a group are permutations, the first of them the identity."""
    assert group.symmetries is not None
    require(isinstance(group.action_space, spaces.Discrete), f"group {group.name}: symmetries need Discrete actions")
    size = int(np.prod(group.observation_space.shape))
    for name, views, length in (
        ("observations", group.symmetries.observations, size),
        ("actions", group.symmetries.actions, group.mask_size),
    ):
        identity = list(range(length))
        what = f"group {group.name}: symmetries.{name}"
        require(
            len(views) > 0 and list(views[0]) == identity, f"{what}: the first must be the identity, 0 to {length - 1}"
        )
        for number, view in enumerate(views):
            require(sorted(view) == identity, f"{what}[{number}] is not a permutation of 0 to {length - 1}")
    require(
        len(group.symmetries.observations) == len(group.symmetries.actions),
        f"group {group.name}: symmetries have {len(group.symmetries.observations)} permutations of observations and "
        f"{len(group.symmetries.actions)} of actions",
    )


def _compare(original: BatchedEnv, mirrored: BatchedEnv, view: int, steps: int, seed: int) -> None:
    """Play the same matches in the original and in a view; check that everything returned is the same in the view."""
    views = [None if group.symmetries is None else Views(group.symmetries) for group in original.groups]
    chooser = np.random.default_rng(seed)
    # Equal generators: chance is the same in both matches, so that a difference comes from the view.
    rngs = [np.random.default_rng(seed + 1) for _ in range(2)]
    for env, rng in zip((original, mirrored), rngs, strict=True):
        env.reset(rng)
    what = f"symmetry {view}: "
    for _ in range(steps):
        acting = original.acting()
        require(np.array_equal(acting, mirrored.acting()), what + "in the view other agents act")
        actions = random_actions(original, chooser)
        viewed = [rows.copy() for rows in actions]  # the same moves, by their names in the view
        for index, matches, agents, places in rows_by_group(original, acting):
            # What agents see and may do in the original, translated to the view, must be what the other match shows.
            group_views, number = views[index], np.full(len(matches), view)
            seen, mask = original.observe(matches, agents), original.action_mask(matches, agents)
            if group_views is not None:  # other groups see the same in every view
                seen = group_views.observations(seen, number)
                mask = None if mask is None else group_views.masks(mask, number)
                viewed[index][matches, places] = group_views.actions(actions[index][matches, places], number)
            require(np.array_equal(seen, mirrored.observe(matches, agents)), what + "observations differ")
            legal = mirrored.action_mask(matches, agents)
            same = mask is legal if mask is None or legal is None else np.array_equal(mask, legal)
            require(same, what + "legal actions differ")
        # Rewards, ends and scores do not depend on the view.
        first, second = original.step(actions, rngs[0]), mirrored.step(viewed, rngs[1])
        for name, one, other in zip(first._fields, first, second, strict=True):
            require(np.array_equal(one, other), what + f"{name} differ")
        ended: Ints = first.over.nonzero()[0]
        if len(ended):
            require(
                np.array_equal(original.scores(ended), mirrored.scores(ended), equal_nan=True), what + "scores differ"
            )
            for env, rng in zip((original, mirrored), rngs, strict=True):  # both draw the same new matches
                env.reset(rng, ended)

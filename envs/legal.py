"""Check that actions are in their spaces; simultaneous environments do so before every step."""

from __future__ import annotations

from collections.abc import Sequence

from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv


def require_actions(title: str, env: BatchedEnv, actions: Sequence[Array]) -> None:
    """Raise ValueError unless every action of every agent is in its Discrete or Box space; masks are not checked."""
    for group, chosen in zip(env.groups, actions, strict=True):
        space = group.action_space
        if isinstance(space, spaces.Box):
            # NaN fails both comparisons, so it counts as outside. All numbers of an action have the same bounds here.
            low, high = float(space.low.min()), float(space.high.max())
            inside, allowed = (chosen >= low) & (chosen <= high), f"outside [{low:g}, {high:g}]"
        else:
            assert isinstance(space, spaces.Discrete)
            count = int(space.n)
            inside, allowed = (chosen >= 0) & (chosen < count), f"not one of 0..{count - 1}"
        if not inside.all():
            # The first illegal action. Of a Box action [B, n_group, numbers] the third index is dropped.
            match, place = (int(indices[0]) for indices in (~inside).nonzero()[:2])
            agent = env.agents[group.agents[place]]
            raise ValueError(f"{title}: illegal action {chosen[match, place]} of {agent} in match {match}: {allowed}")

"""Random legal play that checks everything an environment returns, step by step; used by `envs.checker`."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Group, Ints, Step, scores_from_returns
from marl_app.envs.random_play import random_actions, rows_by_group


class CheckedPlay:
    """Random legal play of an environment; every returned array is checked against the contract.

    ended_matches, ended_steps: number of matches that have ended, and the sum of their lengths.
    """

    def __init__(self, env: BatchedEnv, seed: int) -> None:
        self.env = env
        self.ended_matches = 0
        self.ended_steps = 0
        self.trace: list[Array] = []
        """Everything that the environment returned, in order."""
        # Two generators, so that the chosen actions do not depend on how many numbers the environment draws.
        self._chooser = np.random.default_rng(seed)
        self._rng = np.random.default_rng(seed + 1)
        self._lengths: Ints = np.zeros(env.num_matches, np.int64)
        self._returns = np.zeros((env.num_matches, len(env.agents)))
        # [B, agents]: the agent has acted, and its episode has not ended yet.
        self._in_episode = np.zeros((env.num_matches, len(env.agents)), np.bool_)
        self._finished = self._in_episode.copy()  # [B, agents]: its episode has ended, and no new one has begun
        env.reset(self._rng)

    def step(self) -> None:
        """Observe, act, step, and reset matches that have ended."""
        env = self.env
        acting = env.acting()
        self._check_acting(acting)
        observations = []
        for index, matches, agents, _ in rows_by_group(env, acting):
            observations.append(self._observe(env.groups[index], matches, agents))
            self._check_mask(env.groups[index], matches, agents)
        # To compare with after the step, which must not change what was returned.
        kept = [rows.copy() for rows in observations]
        actions = random_actions(env, self._chooser)
        step = env.step(actions, self._rng)
        unchanged = all(np.array_equal(a, b) for a, b in zip(observations, kept, strict=True))
        require(unchanged, "a step changed observations returned before it: observe() must return a new array")
        # An agent that acts begins an episode or goes on with one, also after an earlier episode of the match.
        self._in_episode |= acting
        self._finished &= ~acting
        self._check_step(step)
        self._lengths += 1
        self._returns += step.rewards
        ended_episodes = step.terminated | step.truncated
        self._in_episode &= ~ended_episodes
        self._finished |= ended_episodes
        ended = step.over.nonzero()[0]
        self.trace += [acting, *kept, *step]
        if len(ended):
            self._check_end(ended)
            self.ended_matches += len(ended)
            self.ended_steps += int(self._lengths[ended].sum())
            self._lengths[ended] = self._returns[ended] = 0
            self._in_episode[ended] = self._finished[ended] = False
            env.reset(self._rng, ended)

    def _check_acting(self, acting: Bools) -> None:
        env = self.env
        require_array("acting()", acting, (env.num_matches, len(env.agents)), np.bool_)
        idle = np.flatnonzero(acting.sum(axis=1) == 0)
        require(not len(idle), f"no agent acts in running match {', '.join(map(str, idle[:1]))}")
        several = bool(acting.sum(axis=1).max() > 1)
        require(
            not (several and env.openings),
            "openings are set, but several agents act in one step: the environment is not turn-based",
        )

    def _observe(self, group: Group, matches: Ints, agents: Ints) -> Array:
        """Return the observations of some agents of one group; check them and the states of their matches."""
        env = self.env
        space = group.observation_space
        rows = env.observe(matches, agents)
        require_array(f"observe() of group {group.name}", rows, (len(matches), *space.shape), space.dtype)
        # One by one, because `contains` takes a single observation.
        for row, match, agent in zip(rows, matches, agents, strict=True):
            require(
                space.contains(row),
                f"the observation of agent {env.agents[agent]} in match {match} is outside its space {space}",
            )
        if env.state_space is not None:
            states = env.state(matches)
            require(states is not None, "the environment has a state_space, but state() returned None")
            assert states is not None
            require_array("state()", states, (len(matches), *env.state_space.shape), np.float32)
        return rows

    def _check_mask(self, group: Group, matches: Ints, agents: Ints) -> None:
        mask = self.env.action_mask(matches, agents)
        if mask is None:
            return
        name = f"action_mask() of group {group.name}"
        require_array(name, mask, (len(matches), group.mask_size), np.bool_)
        # Every part of a MultiDiscrete action needs a legal value; other action spaces have a single part.
        nvec = group.action_space.nvec if isinstance(group.action_space, spaces.MultiDiscrete) else [group.mask_size]
        for part in np.split(mask, np.cumsum(nvec)[:-1], axis=1):
            stuck = np.flatnonzero(part.sum(axis=1) == 0)
            require(
                not len(stuck),
                f"{name} leaves acting agent {self.env.agents[agents[stuck[0]]] if len(stuck) else ''} no legal action",
            )

    def _check_step(self, step: Step) -> None:
        env = self.env
        size = (env.num_matches, len(env.agents))
        require_array("step().rewards", step.rewards, size, np.float32)
        require_array("step().terminated", step.terminated, size, np.bool_)
        require_array("step().truncated", step.truncated, size, np.bool_)
        require_array("step().over", step.over, size[:1], np.bool_)
        bad = ~np.isfinite(step.rewards)
        require(not bad.any(), f"a reward is not finite: {_first(env, bad)}")
        bad = (step.rewards != 0) & self._finished
        require(not bad.any(), f"an agent is rewarded after the end of its episode: {_first(env, bad)}")
        bad = step.terminated & step.truncated
        require(not bad.any(), f"an agent is both terminated and truncated: {_first(env, bad)}")
        bad = self._in_episode & ~(step.terminated | step.truncated) & step.over[:, None]
        require(not bad.any(), f"a match is over, but the episode of an agent is not: {_first(env, bad)}")
        # Values of truncated agents are bootstrapped from their last observations: these must exist.
        for index, matches, agents, _ in rows_by_group(env, step.truncated):
            self._observe(env.groups[index], matches, agents)

    def _check_end(self, ended: Ints) -> None:
        env = self.env
        scores = env.scores(ended)
        require_array("scores()", scores, (len(ended), len(env.sides)), np.float32)
        absent = np.isnan(scores)
        require(bool((((scores >= 0) & (scores <= 1)) | absent).all()), f"scores outside [0, 1]: {scores.tolist()}")
        if len(env.sides) == 1:
            require(bool((scores == 0.5).all()), f"the scores of a single side must be 0.5, not {scores.tolist()}")
        if len(env.sides) == 2:
            sums = scores[~absent.any(axis=1)].sum(axis=1)
            require(np.allclose(sums, 1), f"the scores of two sides must sum to 1: {scores.tolist()}")
            # With a stake the scores must be those of the returns that were paid.
            if env.stake is not None:
                expected = scores_from_returns(self._returns[ended], env.sides, env.stake)
                require(
                    np.allclose(scores, expected, atol=1e-4, equal_nan=True),
                    f"with a stake of {env.stake:g} scores must be {expected.tolist()}, not {scores.tolist()}",
                )


def require(condition: bool, message: str) -> None:
    """Raise AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def require_array(name: str, array: Array, shape: tuple[int, ...], dtype: Any) -> None:
    """Raise AssertionError, which names the array, unless it has this shape and dtype."""
    require(isinstance(array, np.ndarray), f"{name} is not an array but {type(array).__name__}")
    require(array.shape == shape, f"{name} has shape {array.shape}, not {shape}")
    require(array.dtype == dtype, f"{name} has dtype {array.dtype}, not {np.dtype(dtype)}")


def _first(env: BatchedEnv, where: Bools) -> str:
    """Return which agent and match the first True of an array [B, agents] is for, for error messages."""
    if not where.any():
        return ""
    match, agent = np.argwhere(where)[0]
    return f"agent {env.agents[agent]} in match {match}"

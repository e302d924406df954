"""Small games for tests: agents that finish early, truncation, several groups, known results, injected faults."""

import contextlib
import os
import time
from pathlib import Path

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv, Group, Openings, Step, scores_from_returns
from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.two_step import TwoStep

RPS = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]


class Relay(BatchedEnv):
    """A game that draws at random which agents act and are rewarded, and how their episodes and a match end.

    Two `scout`s with MultiDiscrete actions and masks, one `tank` with Box actions; scout_0 and the tank are one side.
    An agent may die, be cut off while others go on, and come back later. A match is cut off after `LIMIT` steps. The
    game keeps to the contract of BatchedEnv and gives nothing beyond it, so a collector that is correct here relies on
    the contract alone.
    """

    LIMIT = 7
    agents = ("scout_0", "tank_0", "scout_1")
    groups = (
        Group("scout", (0, 2), spaces.Box(-1, 1, (3,), np.float32), spaces.MultiDiscrete([2, 3])),
        Group("tank", (1,), spaces.Box(-1, 1, (2, 2), np.float32), spaces.Box(-2, 4, (2,), np.float32)),
    )
    sides = ((0, 1), (2,))

    def __init__(self, num_matches: int) -> None:
        self.num_matches = num_matches
        self._steps = np.zeros(num_matches, np.int64)
        self._finished = np.zeros((num_matches, 3), np.bool_)
        self._acting = np.zeros((num_matches, 3), np.bool_)
        self._seen = np.zeros((num_matches, 3, 4), np.float32)
        self._masks = np.ones((num_matches, 3, 5), np.bool_)
        self._returns = np.zeros((num_matches, 3), np.float32)

    def reset(self, rng, matches=None):
        matches = np.arange(self.num_matches) if matches is None else matches
        self._steps[matches] = 0
        self._finished[matches] = False
        self._returns[matches] = 0
        self._move_on(rng, matches)

    def _move_on(self, rng, matches):
        """Draw acting agents, observations and legal actions of the next step."""
        running = ~self._finished[matches]  # [matches, agents] bool
        acting = running & (rng.random(running.shape) < 0.5)
        idle = ~acting.any(axis=1)  # at least one agent has to act: then all running agents do
        acting[idle] = running[idle]
        self._acting[matches] = acting
        self._seen[matches] = rng.uniform(-1, 1, (len(matches), 3, 4))
        masks = rng.random((len(matches), 3, 5)) < 0.6
        # Each part of an action, columns 0-1 and 2-4, needs a legal choice.
        masks[:, :, 0] |= ~masks[:, :, :2].any(axis=2)
        masks[:, :, 4] |= ~masks[:, :, 2:].any(axis=2)
        self._masks[matches] = masks

    def acting(self):
        return self._acting.copy()

    def observe(self, matches, agents):
        seen = self._seen[matches, agents]
        return seen.reshape(-1, 2, 2) if agents[0] == 1 else seen[:, :3]

    def action_mask(self, matches, agents):
        return None if agents[0] == 1 else self._masks[matches, agents]

    def step(self, actions, rng):
        self._check(actions)
        size = (self.num_matches, 3)
        rewards = np.where(self._finished | (rng.random(size) < 0.3), 0, rng.normal(size=size)).astype(np.float32)
        self._returns += rewards
        self._steps += 1
        # [matches, agents]: the ends of episodes of single agents, of both kinds.
        before = self._finished.copy()
        ends, cut = ~before & (rng.random(size) < 0.15), rng.random(size) < 0.5
        self._finished |= ends
        # Ends of matches: by their rules, with every agent; or by the limit, which cuts the others off.
        died = self._finished.all(axis=1) | (rng.random(self.num_matches) < 0.05)
        limit = ~died & (self._steps >= self.LIMIT)
        terminated = (ends & ~cut) | (died[:, None] & ~before & ~ends)
        truncated = (ends & cut) | (limit[:, None] & ~before & ~ends)
        over = died | limit
        self._finished[over] = True
        self._finished &= ~(before & (rng.random(size) < 0.1) & ~over[:, None])  # agents that come back
        running = np.flatnonzero(~over)
        if len(running):
            self._move_on(rng, running)
        # What truncated agents observe is drawn again: the value of an older observation would be wrong.
        self._seen[over] = rng.uniform(-1, 1, (int(over.sum()), 3, 4))
        return Step(rewards, terminated, truncated, over)

    def _check(self, actions):
        for place, agent in enumerate((0, 2)):
            first, second = actions[0][:, place].T
            rows = np.arange(self.num_matches)
            legal = self._masks[rows, agent, first] & self._masks[rows, agent, 2 + second]
            assert legal[self._acting[:, agent]].all(), "illegal action"
        thrust = actions[1][self._acting[:, 1], 0]
        assert ((thrust >= -2) & (thrust <= 4)).all(), "out of bounds"

    def scores(self, matches):
        return scores_from_returns(self._returns[matches], self.sides)


class Names(MatrixGame):
    """A matrix game of named players: player k always plays action k, so that actions identify players.

    With `rounds` > 1 a match has 1 to `rounds` plays, drawn at each reset, so that matches outlast assignments. The
    higher name wins.
    """

    def __init__(self, num_matches: int, names: int = 5, rounds: int = 1) -> None:
        order = np.arange(names)
        super().__init__(num_matches, np.sign(order[:, None] - order[None, :]).tolist())
        self._rounds = rounds
        self._left = np.ones(num_matches, np.int64)

    def reset(self, rng, matches=None):
        super().reset(rng, matches)
        chosen = np.arange(self.num_matches) if matches is None else matches
        self._left[chosen] = rng.integers(1, self._rounds + 1, len(chosen))

    def step(self, actions, rng):
        step = super().step(actions, rng)
        self._left -= 1
        over = self._left == 0
        rewards = np.where(over[:, None], step.rewards, 0)
        return Step.of_matches(rewards.astype(np.float32), over, np.zeros_like(over))


class Crowd(BatchedEnv):
    """Three sides of one agent that play their names (see `Names`) in a single step: higher names place higher."""

    agents = ("first", "second", "third")
    sides = ((0,), (1,), (2,))

    def __init__(self, num_matches: int, names: int = 5) -> None:
        self.num_matches = num_matches
        self.groups = (Group("player", (0, 1, 2), spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(names)),)
        self._said = np.zeros((num_matches, 3), np.float32)

    def reset(self, rng, matches=None):
        pass

    def acting(self):
        return np.ones((self.num_matches, 3), np.bool_)

    def observe(self, matches, agents):
        return np.zeros((len(matches), 1), np.float32)

    def action_mask(self, matches, agents):
        return None

    def step(self, actions, rng):
        self._said = actions[0].astype(np.float32)
        over = np.ones(self.num_matches, np.bool_)
        return Step.of_matches(self._said, over, ~over)

    def scores(self, matches):
        return scores_from_returns(self._said[matches], self.sides)


class Throws(BatchedEnv):
    """A turn-based game with continuous actions, so without masks: two throws for each agent, the higher sum wins."""

    agents = ("first", "second")
    groups = (Group("player", (0, 1), spaces.Box(-np.inf, np.inf, (1,), np.float32), spaces.Box(-1, 1, (1,))),)
    sides = ((0,), (1,))
    openings = Openings(1.0, 1, 2)

    def __init__(self, num_matches: int) -> None:
        self.num_matches = num_matches
        self._steps = np.zeros(num_matches, np.int64)
        self._sums = np.zeros((num_matches, 2), np.float32)

    def reset(self, rng, matches=None):
        matches = np.arange(self.num_matches) if matches is None else matches
        self._steps[matches], self._sums[matches] = 0, 0

    def acting(self):
        return self._steps[:, None] % 2 == np.arange(2)

    def observe(self, matches, agents):
        return self._sums[matches, agents][:, None].copy()

    def action_mask(self, matches, agents):
        return None

    def step(self, actions, rng):
        mover = self._steps % 2
        rows = np.arange(self.num_matches)
        self._sums[rows, mover] += actions[0][rows, mover, 0]
        self._steps += 1
        over = self._steps == 4
        rewards = np.zeros((self.num_matches, 2), np.float32)
        return Step.of_matches(rewards, over, np.zeros_like(over))

    def scores(self, matches):
        return scores_from_returns(self._sums[matches], self.sides)


class Bright(BatchedEnv):
    """A team of one: which half of an image of 0 and 255 is bright? The return is 1 for the right answer, else 0."""

    agents = ("player",)
    groups = (Group("player", (0,), spaces.Box(0, 255, (4, 4, 1), np.uint8), spaces.Discrete(2)),)
    sides = ((0,),)

    def __init__(self, num_matches: int) -> None:
        self.num_matches = num_matches
        self._right = np.zeros(num_matches, np.bool_)

    def reset(self, rng, matches=None):
        matches = np.arange(self.num_matches) if matches is None else matches
        self._right[matches] = rng.random(len(matches)) < 0.5

    def acting(self):
        return np.ones((self.num_matches, 1), np.bool_)

    def observe(self, matches, agents):
        image = np.zeros((len(matches), 4, 4, 1), np.uint8)
        image[:, :, :2][~self._right[matches]] = 255
        image[:, :, 2:][self._right[matches]] = 255
        return image

    def action_mask(self, matches, agents):
        return None

    def step(self, actions, rng):
        rewards = (actions[0] == self._right[:, None]).astype(np.float32)
        over = np.ones(self.num_matches, np.bool_)
        return Step.of_matches(rewards, over, ~over)

    def scores(self, matches):
        return np.full((len(matches), 1), 0.5, np.float32)


class Faulty(MatrixGame):
    """Rock-paper-scissors with the fault that the file `folder/fault` names, while that file exists.

    "raise_once" (removes the file first), "raise", "hang", "broken" (the constructor raises, too).
    """

    def __init__(self, num_matches: int, folder: str) -> None:
        super().__init__(num_matches, RPS)
        self._file = Path(folder) / "fault"
        if self._fault() == "broken":
            raise RuntimeError("the simulation cannot be made")

    def _fault(self):
        return self._file.read_text() if self._file.exists() else None

    def step(self, actions, rng):
        fault = self._fault()
        if fault == "hang":
            time.sleep(10_000)
        if fault == "raise_once":
            self._file.unlink()
        if fault is not None:
            raise RuntimeError("the simulation exploded")
        return super().step(actions, rng)


class BadNumbers(MatrixGame):
    """Rock-paper-scissors that hands out one bad number: `what` is reward, observation or scores."""

    def __init__(self, num_matches: int, what: str, value: float) -> None:
        super().__init__(num_matches, RPS)
        self._what, self._value = what, value

    def observe(self, matches, agents):
        seen = super().observe(matches, agents)
        if self._what == "observation":
            seen[-1] = self._value
        return seen

    def step(self, actions, rng):
        step = super().step(actions, rng)
        if self._what == "reward":
            step.rewards[1, 0] = self._value
        return step

    def scores(self, matches):
        scores = super().scores(matches)
        if self._what == "scores":
            scores[0, 1] = self._value
        return scores


class Leaves(TwoStep):
    """The two-step game, whose second agent need not act in the second step."""

    def acting(self):
        return super().acting() & ((self._state_index == 0)[:, None] | [True, False])


class Uneven(MatrixGame):
    """Rock-paper-scissors that is slow, 0.1 s per step, in the first process that plays it in `folder`."""

    def __init__(self, num_matches: int, folder: str) -> None:
        super().__init__(num_matches, RPS)
        self._claim = Path(folder) / "slow"

    def step(self, actions, rng):
        with contextlib.suppress(FileExistsError), self._claim.open("x") as file:
            file.write(str(os.getpid()))
        time.sleep(0.1 * (self._claim.read_text() == str(os.getpid())))
        return super().step(actions, rng)

"""The tutorial that people start from: sb3-contrib's MaskablePPO plays both seats of PettingZoo's Connect Four.

    .venv-strength/bin/python -m benchmarks.tutorial_sb3 --minutes 15 --folder runs/tutorial

Same method as "SB3: Action Masked PPO for Connect Four" of PettingZoo's documentation: one environment, one policy that
plays both seats and receives the reward of the player that has just moved, MlpPolicy and default settings. We train for
a time instead of 20,480 steps, and on one thread.

Runs in a venv of its own, so it imports nothing of marl_app. It saves the weights of the policy as
`policy_<number>.npz`, which `tutorial_policy.py` reads.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from pettingzoo.classic import connect_four_v3

Array = NDArray[Any]


class BothSeats(gymnasium.Env[Array, int]):
    """PettingZoo's Connect Four as an environment of one agent, which moves for both players in turn.

    An observation is that of the player to move. The reward of a step is that of the player that has just moved, so
    the last move of a lost match is not punished, as in the tutorial.
    """

    def __init__(self) -> None:
        self._game = connect_four_v3.env()
        player = self._game.possible_agents[0]  # both players have the same spaces
        self.observation_space = self._game.observation_space(player)["observation"]
        self.action_space = self._game.action_space(player)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin a match; return the observation of the first player, int8 [6, 7, 2]."""
        super().reset(seed=seed)
        self._game.reset(seed=seed)
        return self._observe("observation"), {}

    def step(self, action: int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Drop a disc of the player to move."""
        # The player that moves; after the step `agent_selection` is the other one.
        mover = self._game.agent_selection
        self._game.step(int(action))
        ended = self._game.terminations[mover], self._game.truncations[mover]
        return self._observe("observation"), float(self._game.rewards[mover]), *ended, {}

    def action_masks(self) -> Array:
        """Return the legal actions of the player to move, int8 [7]. MaskablePPO calls a method of this name."""
        return self._observe("action_mask")

    def _observe(self, part: str) -> Array:
        observed: Array = self._game.observe(self._game.agent_selection)[part]
        return observed


class Recorder:
    """Saves a policy at the start, then at `points` evenly spaced times until `seconds` are over.

    PPO only asks it while sampling, so a time that falls into an update is recorded after the update.
    """

    def __init__(
        self, policy: Any, folder: Path, seconds: float, points: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy, self._folder, self._clock = policy, folder, clock
        self._seconds, self._interval = seconds, seconds / points
        self._began, self._due, self._saved = clock(), 0.0, 0

    def record(self, env_steps: int) -> bool:
        """Save the policy if that is due; return whether training goes on."""
        now = self._clock() - self._began
        # At the start, at each due time, and once the time is over.
        if now >= min(self._due, self._seconds):
            save_policy(self._policy, self._folder / f"policy_{self._saved:03d}.npz", env_steps, now)
            print(f"tutorial: {now:.0f} of {self._seconds:.0f} s, {env_steps:,} env steps", flush=True)
            self._saved += 1
            self._due = (now // self._interval + 1) * self._interval
        return now < self._seconds


def save_policy(policy: Any, path: Path, env_steps: int, seconds: float) -> None:
    """Save the layers of an MlpPolicy, first to last: weight_<k> [outputs, inputs] and bias_<k> [outputs], float32."""
    # The layers of the policy and the head of its actions; the value network is left out.
    layers = [*policy.mlp_extractor.policy_net, policy.action_net]
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    arrays: dict[str, Any] = {"env_steps": np.int64(env_steps), "seconds": np.float64(seconds)}
    for number, layer in enumerate(linear):
        arrays[f"weight_{number}"] = layer.weight.detach().numpy()
        arrays[f"bias_{number}"] = layer.bias.detach().numpy()
    np.savez(path, **arrays)


def train(folder: Path, minutes: float, points: int, seed: int) -> None:
    """Train for some minutes and save the policy `points` times after the start."""
    from sb3_contrib import MaskablePPO  # only in the tutorial's venv

    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    model = MaskablePPO("MlpPolicy", BothSeats(), seed=seed, device="cpu")
    recorder = Recorder(model.policy, folder, 60 * minutes, points)
    # A callback is called after every env step, with two dictionaries; False ends the training.
    model.learn(sys.maxsize, callback=lambda *_: recorder.record(model.num_timesteps))


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the policies go; must not exist")
    parser.add_argument("--minutes", type=float, default=15.0, help="(default 15)")
    parser.add_argument("--points", type=int, default=12, help="policies that are saved after the start (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="(default 0)")
    options = parser.parse_args()
    train(options.folder, options.minutes, options.points, options.seed)


if __name__ == "__main__":
    main()

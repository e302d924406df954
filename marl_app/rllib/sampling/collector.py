"""The protocol of collectors, which turn played matches into the columns that an algorithm is trained on.

The algorithm's configuration chooses its collector: `ppo/collector.py` makes rows with advantages,
`team_q/collector.py` segments of joint steps. The env runner calls it after each decision and each step, and takes the
columns of a fragment at its end.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import BatchedEnv, Bools, Step
from marl_app.players.central_state import CentralState
from marl_app.players.networks import Network
from marl_app.rllib.sampling.acting import Observed

Array = NDArray[Any]
Ints = NDArray[np.int64]
Batches = dict[str, dict[str, Array]]
"""Training columns by network name: {network: {column: [rows, ...]}}."""


class Runner(Protocol):
    """The part of an env runner that collectors use. `steps`: length of a fragment. `finished`: bool [B, agents]."""

    env: BatchedEnv
    config: Any
    networks: tuple[Network, ...]
    steps: int
    central_state: CentralState
    finished: Bools

    def observe(self, index: int, matches: Ints, agents: Ints) -> tuple[dict[str, Array], Observed]:
        """Return the inputs [R, ...] of network `index` for agents [R] of matches [R], without action masks.

        As columns of a training batch, and as tensors for the forward pass.
        """
        ...

    def values(self, index: int, matches: Ints, agents: Ints) -> NDArray[np.float32]:
        """Return the values, float32 [R], that the trainee's critic of network `index` gives to these rows now."""
        ...


class Collector(Protocol):
    """Makes training columns for one env runner. A new one is made when all its matches start again."""

    def __init__(self, runner: Runner) -> None: ...

    def add_decisions(self, index: int, matches: Ints, agents: Ints, columns: dict[str, Array]) -> None:
        """Add decisions of network `index` for agents of matches: columns [R, ...], of the trainee only."""

    def add_step(self, step: Step, rewards: Array) -> None:
        """Add a step's result; `rewards` [B, agents] are scaled for training. Ended matches are not reset yet."""

    def pop_batches(self) -> tuple[Batches, int]:
        """End the fragment: return its training columns and the number of the trainee's actions in it."""
        ...

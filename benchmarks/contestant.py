"""The interface of contestants (ways of training), and the measurement of a contestant."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

from benchmarks.processes import cpu_seconds


class Steps(NamedTuple):
    """Counts of env steps, and of the agent steps in them that are trained on (or would be, without learning)."""

    env: int
    trained: int


class BenchmarkContestant(Protocol):
    """A way of training, built and warmed up."""

    def iterate(self, learn: bool) -> Steps:
        """Collect one batch and, if `learn`, train on it."""
        ...

    def facts(self) -> dict[str, float]:
        """Return sizes that do not depend on time: `parameters`, the number of weights, and others.

        Called after at least one iteration with learning.
        """
        ...

    def close(self) -> None:
        """Stop everything that the contestant has started."""
        ...


class Rates(NamedTuple):
    """The rates of a contestant in one round, and the cores that it used (CPU seconds per second)."""

    env_steps_per_s: float
    trained_agent_steps_per_s: float
    cores: float


def measure(contestant: BenchmarkContestant, learn: bool, seconds: float) -> Rates:
    """Run whole iterations for at least `seconds`, and return their rates.

    An iteration before them is not counted: a pipelined contestant has its first batch ready since the last round, and
    caches are cold.
    """
    contestant.iterate(learn)
    env = trained = 0
    began, cpu = time.perf_counter(), cpu_seconds()
    while (elapsed := time.perf_counter() - began) < seconds or not env:
        steps = contestant.iterate(learn)
        env, trained = env + steps.env, trained + steps.trained
    return Rates(env / elapsed, trained / elapsed, (cpu_seconds() - cpu) / elapsed)

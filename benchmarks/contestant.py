"""What every contestant offers, and how one is measured."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

from benchmarks.processes import cpu_seconds


class Steps(NamedTuple):
    """Env steps, and those agent steps among them that are (or would be) trained on."""

    env: int
    trained: int


class BenchmarkContestant(Protocol):
    """A way of training, built and warm."""

    def iterate(self, learn: bool) -> Steps:
        """Collect one batch and, if `learn`, train on it."""
        ...

    def facts(self) -> dict[str, float]:
        """What does not depend on time, once it has learned: `parameters`, how many weights the network has; others."""
        ...

    def close(self) -> None:
        """End whatever was started."""
        ...


class Rates(NamedTuple):
    """What one round of one contestant gave, and how many cores it used for it (CPU seconds per second)."""

    env_steps_per_s: float
    trained_agent_steps_per_s: float
    cores: float


def measure(contestant: BenchmarkContestant, learn: bool, seconds: float) -> Rates:
    """Run for at least so many seconds, in whole iterations.

    One iteration comes first and is not counted: a pipelined contestant has its first batch lying ready since the last
    round, and caches are cold.
    """
    contestant.iterate(learn)
    env = trained = 0
    began, cpu = time.perf_counter(), cpu_seconds()
    while (elapsed := time.perf_counter() - began) < seconds or not env:
        steps = contestant.iterate(learn)
        env, trained = env + steps.env, trained + steps.trained
    return Rates(env / elapsed, trained / elapsed, (cpu_seconds() - cpu) / elapsed)

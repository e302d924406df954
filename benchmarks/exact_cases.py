"""The cases of `benchmarks.exact`: games, schemes, with and without a magnet; and the overrides of their runs.

Settings of an environment are made for runs of a certain length. Here their schedules are stretched or compressed to
the env steps of the run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from marl_app.config.compose import load
from marl_app.config.schema import Config


class Game(NamedTuple):
    """A game with an exact NashConv. `random_play`: that of uniformly random play; `overrides` choose the game.

    every_s: seconds between measurements. One takes the time of a forward pass over all information states.
    """

    title: str
    random_play: float
    overrides: tuple[str, ...]
    every_s: int = 2


GAMES = {
    "kuhn_poker": Game("Kuhn poker", 11 / 12, ("env=kuhn_poker",)),
    "leduc_poker": Game("Leduc poker", 4.7472, ("env=leduc_poker",)),
    "liars_dice": Game("Liar's dice, one die each", 1.5615, ("env=liars_dice",), every_s=10),
    # The default batch, made for larger games, would leave only 60 updates in 2 M env steps.
    "tic_tac_toe": Game(
        "Tic-tac-toe",
        1.9197,
        ("env=tic_tac_toe", "runtime.num_envs_per_env_runner=512", "algorithm.train_batch_size_per_learner=8192"),
    ),
}
SCHEMES = ("self_play", "league", "pfsp", "psro", "alphastar")
MAGNETS = {
    "none": ("algorithm.magnet=none", "league.freeze=weights"),
    "snapshot": ("algorithm.magnet=snapshot", "league.freeze=average"),
}
"""Without and with a magnet: the reference policy, and what is evaluated and frozen."""
COMMON = (
    "runtime.num_env_runners=0",
    "runtime.pipeline=false",
    "stop.minutes=null",
    "evaluation.every_iterations=null",
    "evaluation.anchors=[]",
    "league.turn=4",  # the learners of alphastar take short turns in a short run
)
SCHEDULES = ("lr", "entropy_coeff", "uniform_kl_coeff", "magnet_coeff", "magnet_updates")
"""Settings of the algorithm that may be schedules over env steps."""


class Case(NamedTuple):
    """The runs that differ only in their seed. `magnet`: a key of MAGNETS."""

    game: str
    scheme: str
    magnet: str

    @property
    def folder(self) -> str:
        """The folder of the case below the directory of all runs; each seed has one inside."""
        return f"{self.game}/{self.scheme}-{self.magnet}"


def case_overrides(case: Case, env_steps: int) -> list[str]:
    """Return the overrides of the runs of a case, without the seed. Raises ConfigError if they do not compose."""
    # Composed once to read the schedules of the game, which are then scaled to the length of the run.
    chosen = [f"+experiment={case.scheme}", *GAMES[case.game].overrides, *MAGNETS[case.magnet], *COMMON]
    chosen += [f"callbacks.exploitability.every_s={GAMES[case.game].every_s}", f"stop.env_steps={env_steps}"]
    return chosen + scaled_overrides(load(chosen), env_steps)


def scaled_overrides(config: Config, env_steps: int) -> list[str]:
    """Return overrides that fit a configuration to a run of `env_steps`.

    The last point of every schedule is the end of the run. A learner is frozen at the earliest after a fiftieth of the
    run, and by psro's schedule at the latest after a tenth, both counted in agent steps. With a magnet, what is counted
    in updates (the age of the reference, the memory of the average) is at most a tenth of the main agent's updates.
    """
    algorithm: Any = config.algorithm
    values: dict[str, Any] = {
        f"algorithm.{name}": stretched(value, env_steps)
        for name in SCHEDULES
        if isinstance(value := getattr(algorithm, name), list)
    }
    values["league.schedule.agent_steps"] = max(1, env_steps // 50)
    if algorithm.magnet != "none":
        # All learners get the same number of updates, one per batch.
        updates = env_steps / algorithm.train_batch_size_per_learner / len(config.league.learners)
        # A tenth of the updates of a learner.
        tenth = max(1, int(updates / 10))
        renewed = values.get("algorithm.magnet_updates", algorithm.magnet_updates)
        values["algorithm.magnet_updates"] = at_most(renewed, tenth)
        values["league.average_rate"] = max(config.league.average_rate, round(1 / tenth, 4))
    # Without spaces, so that a printed command can be pasted.
    return [f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in values.items()]


def stretched(schedule: Sequence[Sequence[float]], end: int) -> list[list[float]]:
    """Return a schedule [[env step, value], ...] with its last point at env step `end`; a single point stays at 0."""
    factor = end / schedule[-1][0] if schedule[-1][0] else 1.0
    return [[round(at * factor), value] for at, value in schedule]


def at_most(value: float | Sequence[Sequence[float]], limit: float) -> float | list[list[float]]:
    """Return a number, or a schedule, whose values are at most `limit`."""
    if isinstance(value, Sequence):
        return [[at, min(number, limit)] for at, number in value]
    return min(value, limit)

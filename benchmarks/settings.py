"""What all contestants have in common: the game, the network, the algorithm's settings, the size of a batch.

The settings are the app's own: composed from `conf/`, with a few overrides, and handed to every contestant.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.games import GAMES
from marl_app.config.compose import load
from marl_app.config.schema import Config


@dataclass(frozen=True)
class Sampling:
    """How RLlib's own PPO samples. The defaults are the best that the search found (docs/benchmarks.md).

    num_env_runners: 0 = the driver samples itself.
    rollout_fragment_length: env steps of each environment per call of `sample`; 0 = RLlib's "auto", as many as the
        batch needs.
    episodes_to_numpy: convert every finished episode in every step of the sampling loop (RLlib's default), or all of
        them once when the fragment is full.
    batch_rows: env steps per update.
    """

    num_env_runners: int = 2
    num_envs_per_env_runner: int = 64
    rollout_fragment_length: int = 0
    episodes_to_numpy: bool = False
    batch_rows: int = 8192


@dataclass(frozen=True)
class Settings:
    """`epochs` over a batch of `rows` env steps from `matches` matches, in minibatches of `minibatch_rows` agent steps.

    `game`: one of GAMES.
    `stock`: how RLlib's own PPO samples, and the size of its batch; its epochs and minibatches are the same.
    `snapshots`: the size of the pool where there is one; `perturbation`: the noise that makes them differ.
    """

    game: str = "connect_four"
    epochs: int = 4
    hidden: tuple[int, ...] = (64, 64)
    matches: int = 1024
    rows: int = 32768
    stock: Sampling = Sampling()
    minibatch_rows: int = 4096
    snapshots: int = 16
    perturbation: float = 0.05

    def config(self, *overrides: str, output_dir: str = "runs/benchmark") -> Config:
        """The app's configuration: the game, no evaluation, and no callback but the league's."""
        return load(
            [
                *GAMES[self.game].overrides,
                "league/matchmaker=latest",
                f"model.hidden={list(self.hidden)}",
                "model.activation=tanh",
                "model.vf_share_layers=false",
                "model.precision=float32",
                "callbacks=[league]",
                f"algorithm.num_epochs={self.epochs}",
                f"algorithm.train_batch_size_per_learner={self.rows}",
                f"algorithm.minibatch_size={self.minibatch_rows}",
                f"runtime.num_envs_per_env_runner={self.matches}",
                f"runtime.opponent_slots={self.snapshots}",
                "stop.minutes=null",
                *overrides,
            ],
            output_dir,
        )

    def algorithm(self) -> dict[str, Any]:
        """PPO's settings, as every contestant uses them: `conf/algorithm/ppo.yaml`, a local critic."""
        return asdict(self.config().algorithm)


QUICK = Settings(epochs=1, matches=64, rows=2048, stock=Sampling(batch_rows=256), minibatch_rows=256, snapshots=4)
"""A smoke run: everything happens, and no number means anything."""


def settings_for(game: str, quick: bool = False) -> Settings:
    """The settings for a game; `quick`: of a smoke run."""
    if quick:
        return replace(QUICK, game=game)
    return Settings(game=game, matches=GAMES[game].matches, rows=GAMES[game].rows)

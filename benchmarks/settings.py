"""The settings that all contestants share: game, network, algorithm and batch size.

They are settings of the app, composed from `conf/` with a few overrides, and passed to every contestant.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.games import GAMES
from marl_app.config.compose import load
from marl_app.config.schema import Config


@dataclass(frozen=True)
class Sampling:
    """The sampling settings of RLlib's own PPO. The defaults are the best found by the search (docs/benchmarks.md).

    num_env_runners: 0 = the driver samples.
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
    """The settings of a benchmark, shared by all contestants.

    game: a key of GAMES. model: an option of `conf/model`. hidden: widths of the hidden layers. precision: of their
        matrix products.
    epochs, matches, rows, minibatch_rows: `epochs` passes over a batch of `rows` env steps of `matches` matches, in
        minibatches of `minibatch_rows` agent steps.
    stock: sampling and batch size of RLlib's own PPO; its epochs and minibatches are the same.
    snapshots: size of the pool of contestants with a pool; perturbation: standard deviation of their noise.
    """

    game: str = "connect_four"
    epochs: int = 4
    model: str = "mlp"
    hidden: tuple[int, ...] = (64, 64)
    precision: str = "float32"
    matches: int = 1024
    rows: int = 32768
    stock: Sampling = Sampling()
    minibatch_rows: int = 4096
    snapshots: int = 16
    perturbation: float = 0.05

    def config(self, *overrides: str, output_dir: str = "runs/benchmark") -> Config:
        """Return the app's configuration: the game, no evaluation, and only the league callback."""
        return load(
            [
                *GAMES[self.game].overrides,
                "league/matchmaker=latest",
                f"model={self.model}",
                f"model.hidden={list(self.hidden)}",
                "model.activation=tanh",
                "model.vf_share_layers=false",
                f"model.precision={self.precision}",
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
        """Return the PPO settings of every contestant: `conf/algorithm/ppo.yaml`, a local critic."""
        return asdict(self.config().algorithm)


QUICK = Settings(epochs=1, matches=64, rows=2048, stock=Sampling(batch_rows=256), minibatch_rows=256, snapshots=4)
"""A smoke run: all code runs, but the numbers are meaningless."""


def settings_for(game: str, quick: bool = False) -> Settings:
    """Return the settings for a game; `quick`: those of a smoke run."""
    if quick:
        return replace(QUICK, game=game)
    return Settings(game=game, matches=GAMES[game].matches, rows=GAMES[game].rows)

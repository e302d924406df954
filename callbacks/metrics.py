"""Curves and pictures for TensorBoard, and one line per iteration in `progress.jsonl`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from marl_app.metrics.figures import matchmaking_figure, payoff_heat_map, ratings_figure
from marl_app.metrics.tensorboard import TensorBoard
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.events import MatchCallback
from marl_app.rllib.training.postponed import postponed


class LogMetrics(MatchCallback):
    """Writes the algorithm's report every iteration, and pictures of the league every `pictures_every_s` seconds."""

    def __init__(self, pictures_every_s: float) -> None:
        super().__init__()
        self._pictures_every_s = pictures_every_s
        self._drawn = float("-inf")
        self._writer: TensorBoard | None = None

    def _open(self, algorithm: MatchAlgorithm) -> TensorBoard:
        """Open the writer late: only then is it known at which step a resumed run goes on."""
        if self._writer is None:
            before = algorithm.counters.env_steps - algorithm.stats.env_steps
            self._writer = TensorBoard(algorithm.run_dir / "tb", purge_step=before + 1 if before else 0)
            self._writer.hparams(algorithm.config.hparams)
        return self._writer

    def _write(self, algorithm: MatchAlgorithm, write: Callable[[TensorBoard], None]) -> None:
        """If it fails, points are missing, and the next one begins a new file: this one may be torn."""
        with postponed(algorithm, "tb/"):
            try:
                write(self._open(algorithm))
            except OSError:
                self._writer = None
                raise

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Write this iteration's figures."""
        with postponed(algorithm, "progress.jsonl"):
            algorithm.records.progress(algorithm.report)
        self.on_scalars(algorithm=algorithm, values=algorithm.report)
        if time.monotonic() - self._drawn >= self._pictures_every_s:
            self._draw(algorithm)

    def on_scalars(self, *, algorithm: MatchAlgorithm, values: dict[str, float], **kwargs: Any) -> None:
        """Write figures that do not come with every iteration."""
        self._write(algorithm, lambda writer: writer.scalars(values, algorithm.counters.env_steps))

    def on_image(self, *, algorithm: MatchAlgorithm, key: str, pixels: Any, **kwargs: Any) -> None:
        """Write a picture."""
        self._write(algorithm, lambda writer: writer.image(key, pixels, algorithm.counters.env_steps))

    def on_run_end(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """The last pictures."""
        if self._writer is not None:
            self._draw(algorithm)
            self._write(algorithm, TensorBoard.close)

    def _draw(self, algorithm: MatchAlgorithm) -> None:
        self._drawn = time.monotonic()
        league, learner = algorithm.league, algorithm.config.learner
        players = [snapshot.player.id for snapshot in league.snapshots] + [learner]
        wins, games = league.payoff.counts(players)
        pictures = {"league/payoff": payoff_heat_map(players, wins / np.maximum(games, 1e-9), games)}
        ratings = league.ratings()
        pictures["league/ratings"] = ratings_figure(players, [ratings[player] for player in players])
        chances: dict[str, float] = {}
        for branch in league.matchmaker.branches(league.view, learner):
            for player, chance in zip(branch.opponents, branch.probabilities.tolist(), strict=True):
                chances[player] = chances.get(player, 0.0) + branch.probability * chance
        met = [player for player in players if player in chances]
        win_rates = league.payoff.win_rates(learner, met)
        pictures["league/matchmaking"] = matchmaking_figure(learner, met, [chances[p] for p in met], win_rates)
        for key, pixels in pictures.items():
            self.on_image(algorithm=algorithm, key=key, pixels=pixels)

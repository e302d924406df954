"""Curves and pictures for TensorBoard, and a line for every point of the curves in `progress.jsonl`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from marl_app.league.players import GUEST, Player, Snapshot
from marl_app.metrics.averages import Averages
from marl_app.metrics.league_figures import (
    Frozen,
    lineages_picture,
    matchmaking_picture,
    opponents_picture,
    payoff_picture,
    ratings_picture,
)
from marl_app.metrics.match_history import MatchHistory
from marl_app.metrics.tensorboard import TensorBoard
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.about import overridden_keys, run_config, run_metrics, start_text
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import CallbackResult, Image, RunReport


class LogMetrics(MatchCallback):
    """Writes all reported metrics and pictures, and draws the league every `pictures_every_s` seconds and at the end.

    Iterations that end within `every_seconds` of the last point are averaged into the next one. A checkpoint, which
    counts on the metrics of its iterations, and the end of the run come after a point that includes them.
    """

    def __init__(self, every_seconds: float, pictures_every_s: float) -> None:
        super().__init__()
        if every_seconds < 0:
            raise ValueError(f"callbacks.metrics.every_seconds={every_seconds}: give at least 0")
        self._every_seconds = every_seconds
        self._pictures_every_s = pictures_every_s
        self._averages = Averages()
        self._written = float("-inf")
        self._drawn = time.monotonic()
        self._writer: TensorBoard | None = None
        self._recorded: tuple[Snapshot, ...] = ()  # the pool whose meta-strategy was recorded last
        self._ended = False
        self._history: MatchHistory | None = None

    def on_fragment(self, *, algorithm: MatchAlgorithm, fragment: Fragment, **kwargs: Any) -> None:
        """Count the main agent's matches by opponent, for the picture of them."""
        if self._history is None:
            self._history = _past_matches(algorithm)
        outcomes = fragment.outcomes
        if fragment.learner == algorithm.spec.main_learner:
            # `iteration` counts the iterations that are over; the fragment is of the next one.
            self._history.add(
                algorithm.iteration + 1, outcomes.opponents, outcomes.wins + outcomes.draws + outcomes.losses
            )

    def on_train_result(
        self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any
    ) -> CallbackResult | None:
        """Record the meta-strategy of a pool that has changed, and draw the league if it is due."""
        if algorithm.league.snapshots != self._recorded:
            self._record_meta_strategy(algorithm)
        if time.monotonic() - self._drawn < self._pictures_every_s:
            return None
        return CallbackResult(images=self._draw(algorithm))

    def on_report(self, *, algorithm: MatchAlgorithm, report: RunReport, **kwargs: Any) -> None:
        """Write metrics and pictures."""
        # Iterations are averaged into points; other reports, such as an evaluation's, are written as they come.
        if report.iteration:
            self._averages.add(report.metrics)
            if time.monotonic() - self._written >= self._every_seconds:
                self._write_point(algorithm)
        elif report.metrics:
            self._write(algorithm, lambda writer: writer.scalars(dict(report.metrics), report.env_steps))
        for key, pixels in report.images.items():
            write = functools.partial(TensorBoard.image, key=key, pixels=pixels, step=algorithm.counters.env_steps)
            self._write(algorithm, write)

    def on_checkpoint(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """Write the iterations since the last point, and make the curves durable."""
        self._write_point(algorithm)
        if self._writer is not None:
            self._write(algorithm, TensorBoard.flush)

    def on_run_end(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> Iterator[CallbackResult]:
        """Write the iterations since the last point, and the last pictures."""
        self._write_point(algorithm)
        if self._writer is not None:
            yield CallbackResult(images=self._draw(algorithm))
            self._write(algorithm, TensorBoard.close)
        self._ended = True

    def _write_point(self, algorithm: MatchAlgorithm) -> None:
        """Write the averages of the iterations since the last point, if there are any."""
        if not self._averages:
            return
        self._written = time.monotonic()
        values = self._averages.pop()
        # The records are what a resumed run reads; TensorBoard is a view of them.
        with algorithm.disk_errors.postpone("progress.jsonl"):
            algorithm.records.append_progress(values)
        self._write(algorithm, lambda writer: writer.scalars(values, int(values["steps/env_steps"])))

    def _open(self, algorithm: MatchAlgorithm) -> TensorBoard:
        """Open the writer late: only then is the step known at which a resumed run goes on."""
        if self._writer is None:
            # Env steps before the first iteration of this process. Of earlier files TensorBoard hides the points after
            # them, which a killed run wrote after its last checkpoint.
            before = algorithm.counters.env_steps - algorithm.stats.env_steps
            reported = algorithm.records.reported() if before else {}
            self._writer = TensorBoard(algorithm.run_dir / "tb", before + 1 if before else 0, reported)
            spec = algorithm.spec
            self._writer.hparams(run_config(spec), run_metrics(spec), overridden_keys(spec))
            self._writer.text("run/start", start_text(spec), before)
        return self._writer

    def _write(self, algorithm: MatchAlgorithm, write: Callable[[TensorBoard], None]) -> None:
        """Write to TensorBoard. After a failure points are missing, and a new file is begun: this one may be torn."""
        if self._ended:  # a callback after this one saves a last checkpoint
            return
        with algorithm.disk_errors.postpone("tb/"):
            try:
                write(self._open(algorithm))
            except OSError:
                self._writer = None
                raise

    def _record_meta_strategy(self, algorithm: MatchAlgorithm) -> None:
        """Append the meta-strategy of each pool to `meta_strategy.jsonl`; a team without opponents has none."""
        league = algorithm.league
        self._recorded = league.snapshots
        for side in league.view.sides if len(algorithm.spec.sides) > 1 else ():
            players = [snapshot.player.id for snapshot in league.view.pool(side)]
            probabilities = dict(zip(players, league.mixture(side).tolist(), strict=True))
            with algorithm.disk_errors.postpone("meta_strategy.jsonl"):
                if probabilities:
                    algorithm.records.append_meta_strategy(
                        algorithm.iteration, algorithm.counters.env_steps, side, probabilities
                    )

    def _draw(self, algorithm: MatchAlgorithm) -> dict[str, Image]:
        """Return pictures of payoff, ratings, matchmaking, opponents over time and lineages."""
        self._drawn = time.monotonic()
        self._record_meta_strategy(algorithm)
        league, learner = algorithm.league, algorithm.spec.main_learner
        # The pool, oldest first, and the learner after it.
        players = [snapshot.player.id for snapshot in league.snapshots] + [learner]
        wins, games = league.payoff.counts(players)
        ratings = league.ratings()
        # Several rules may pick the same opponent: its probability is the sum over the branches.
        probabilities: dict[str, float] = {}
        for branch in league.matchmaker.branches(league.view, learner):
            for player, probability in zip(branch.opponents, branch.probabilities.tolist(), strict=True):
                probabilities[player] = probabilities.get(player, 0.0) + branch.probability * probability
        opponents = [player for player in players if player in probabilities]
        win_rates = league.payoff.win_rates(learner, opponents)
        return {
            "league/payoff": payoff_picture(players, wins / np.maximum(games, 1e-9), games),
            "league/ratings": ratings_picture(players, [ratings[player] for player in players]),
            "league/matchmaking": matchmaking_picture(
                learner, opponents, [probabilities[player] for player in opponents], win_rates
            ),
            "league/opponents": self._draw_opponents(learner),
            "league/lineages": _draw_lineages(algorithm, ratings),
        }

    def _draw_opponents(self, learner: str) -> Image:
        history = self._history or MatchHistory()
        met = sorted(Player.parse(opponent) for opponent in history.opponents if opponent != learner)
        return opponents_picture([player.id for player in met], *history.table([player.id for player in met]))


def _past_matches(algorithm: MatchAlgorithm) -> MatchHistory:
    """Return the matches of the main agent before this process started, from the records."""
    history = MatchHistory()
    for iteration, opponents, matches in algorithm.records.past_matches(algorithm.spec.main_learner):
        history.add(iteration, opponents, matches)
    return history


def _draw_lineages(algorithm: MatchAlgorithm, ratings: Mapping[str, float]) -> Image:
    """Return the picture of the snapshots of learners; guests have not trained here."""
    snapshots = [snapshot for snapshot in algorithm.league.snapshots if snapshot.role != GUEST]
    # Parents are named by digest; one that has left the pool is none.
    index = {snapshot.digest: number for number, snapshot in enumerate(snapshots)}
    return lineages_picture(
        [
            Frozen(one.player.lineage, one.agent_steps, ratings[one.player.id], index.get(one.parent or ""))
            for one in snapshots
        ]
    )

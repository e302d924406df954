"""Plays the learner against fixed anchors and in solved positions: in parallel with training, or when RLlib asks.

Each evaluation in parallel also draws one of its matches.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from marl_app.config.errors import first_line
from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.anchors import Score, evaluate_anchor
from marl_app.evaluation.film import match_strip
from marl_app.evaluation.frames import Pixels
from marl_app.evaluation.solved import ValuePreserving, value_preserving_moves
from marl_app.evaluation.team import TEAM, TeamReturn, evaluate_team
from marl_app.players.agent import Agent
from marl_app.players.anchors import unplayable_reason
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import CallbackResult

logger = logging.getLogger(__name__)

MODES = ("sampled", "greedy")
SOLVED = "value_preserving_moves"
"""Stands for the solved positions where the name of an anchor stands otherwise, and in the metric's key."""
PICTURE = "picture"
"""Stands where the mode stands otherwise for the match that is drawn."""
Found = Score | TeamReturn | ValuePreserving


class Evaluator:
    """A process of low priority that plays evaluation matches.

    `player_classes` are not used: they are imported as they arrive, see `RunSpec`.
    """

    def __init__(self, player_classes: Sequence[type]) -> None:
        os.nice(10)

    def evaluate(self, *arguments: Any) -> Found:
        """See the function `evaluate`."""
        return evaluate(*arguments)

    def draw(self, blobs: Sequence[bytes], make_env: MakeEnv, anchor: str, seed: int) -> Pixels | None:
        """Return a greedy match against an anchor, or of a team alone, as a picture; None without a view."""
        return match_strip(make_env, [Agent(blob) for blob in blobs], None if anchor == TEAM else anchor, seed)


def evaluate(blobs: Sequence[bytes], make_env: MakeEnv, anchor: str, games: int, seed: int, greedy: bool) -> Found:
    """Return the score of a player, or of one per side, against an anchor; of a team alone its return.

    For `SOLVED` return its value-preserving moves.
    """
    rng, agents = np.random.default_rng(seed), [Agent(blob) for blob in blobs]
    if anchor == TEAM:
        return evaluate_team(make_env, agents[0], games, rng, greedy=greedy)
    if anchor == SOLVED:
        return value_preserving_moves(make_env, agents, rng)
    return evaluate_anchor(make_env, agents, anchor, games, rng, greedy=greedy)


def _start_process(spec: RunSpec) -> Any:
    return ray.remote(num_cpus=0, max_restarts=-1)(Evaluator).remote(spec.player_classes)


class EvaluateAnchors(MatchCallback):
    """Plays `games` matches against each anchor every `every_iterations` iterations (None: only at the end).

    Sides alternate; in an environment with one side the team's return is measured instead. Each evaluation is played
    with sampled actions, whose scores become the run's `anchors`, and with greedy ones. An evaluation that is due while
    the last one still runs is left out. A run that finishes is evaluated with its last weights. In an environment with
    solved positions each evaluation also counts the value-preserving moves in them.
    picture: draw a match against the last of the anchors, where the environment renders.
    """

    def __init__(self, every_iterations: int | None, games: int, anchors: Sequence[str], picture: bool) -> None:
        super().__init__()
        self._picture = picture
        self._every_iterations = every_iterations
        self._games = games
        self._anchors = list(anchors)
        self._running: dict[Any, tuple[str, str]] = {}  # Ray reference -> (anchor, mode)
        self._evaluator: Any = None  # started by the first evaluation in parallel

    def on_run_start(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> CallbackResult:
        """Find out which anchors can play this environment."""
        self._seed = algorithm.spec.settings.seed
        # One match, to ask what can be measured in this environment.
        with closing(algorithm.spec.make_env(1)) as env:
            sides = len(env.sides)
            self._solved = len(env.solved_positions() or ()) if self._anchors else 0  # no anchors: no evaluation
            reasons = {anchor: unplayable_reason(env, anchor) for anchor in self._anchors} if sides > 1 else {}
        self._games += -self._games % sides  # rounded up: each side is played equally often
        if sides == 1:
            self._anchors = [TEAM] if self._anchors else []
        else:
            self._anchors = [anchor for anchor, reason in reasons.items() if reason is None]
        return CallbackResult(
            messages=[f"no evaluation against {anchor}: {reason}" for anchor, reason in reasons.items() if reason]
        )

    def on_train_result(
        self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any
    ) -> Iterator[CallbackResult]:
        """Start an evaluation if it is due, and report those that are done."""
        due = self._every_iterations is not None and algorithm.iteration % self._every_iterations == 0
        if due and not self._running:
            self._start(algorithm)
        if self._running:
            # Without waiting: the others are reported after a later iteration.
            done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            yield from map(self._report, done)

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> Iterator[CallbackResult]:
        """Evaluate the last weights, unless the run was interrupted or failed."""
        if status != "finished" or not (self._anchors or self._solved):
            return
        what = [f"{self._games} matches each of {', '.join(self._anchors)}"] if self._anchors else []
        what += [f"{self._solved:,} solved positions"] if self._solved else []
        yield CallbackResult(messages=[f"evaluation: {'; '.join(what)} ..."])
        if self._running:  # the process is busy with an evaluation of older weights
            self._running.clear()
            ray.kill(self._evaluator)
            self._evaluator = None
        self._start(algorithm)
        try:
            yield from map(self._report, list(self._running))
        except KeyboardInterrupt:  # the other callbacks still end the run
            yield CallbackResult(messages=["the last evaluation was interrupted"])

    def on_evaluate(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> Iterator[CallbackResult]:
        """Evaluate the weights of now in this process."""
        for anchor, mode, arguments in self._evaluations(algorithm, self._players(algorithm)):
            yield _result(anchor, mode, evaluate(*arguments))

    def _players(self, algorithm: MatchAlgorithm) -> list[bytes]:
        return [algorithm.snapshots.encode(learner) for learner in algorithm.league.view.evaluated_learners]

    def _evaluations(self, algorithm: MatchAlgorithm, blobs: Any) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """Yield (anchor, mode, arguments of `evaluate`) of every evaluation, each with another seed."""
        evaluations = [(anchor, mode) for anchor in self._anchors for mode in MODES]
        for anchor, mode in evaluations + ([(SOLVED, "greedy")] if self._solved else []):
            self._seed += 1
            yield anchor, mode, (blobs, algorithm.spec.make_env, anchor, self._games, self._seed, mode == "greedy")

    def _start(self, algorithm: MatchAlgorithm) -> None:
        """Start all evaluations in the process, if there are any."""
        if not (self._anchors or self._solved):
            return
        if self._evaluator is None:
            self._evaluator = _start_process(algorithm.spec)
        # In Ray's object store once, for all evaluations.
        blobs = ray.put(self._players(algorithm))
        for anchor, mode, arguments in self._evaluations(algorithm, blobs):
            self._running[self._evaluator.evaluate.remote(*arguments)] = (anchor, mode)
        # The process makes one call after the other, so the picture comes last.
        if self._picture and self._anchors:
            strongest = self._anchors[-1]
            drawn = self._evaluator.draw.remote(blobs, algorithm.spec.make_env, strongest, self._seed)
            self._running[drawn] = (strongest, PICTURE)

    def _report(self, reference: Any) -> CallbackResult:
        """Return the result of an evaluation, waiting for it. One that failed is counted, and training goes on."""
        anchor, mode = self._running.pop(reference)
        try:
            found = ray.get(reference)  # Found, or a picture
        except RayError as error:
            if mode == PICTURE:
                self._picture = False  # it would fail each time
                cause = first_line(getattr(error, "cause", error))
                return CallbackResult(messages=[f"no pictures of matches: {cause}"])
            against = "in solved positions" if anchor == SOLVED else f"against {anchor}"
            logger.error("evaluation %s failed\n%s", against, error)
            cause = first_line(getattr(error, "cause", error))
            return CallbackResult(failures=1, messages=[f"evaluation {against} failed: {cause}"])
        if mode == PICTURE:
            return CallbackResult(images={} if found is None else {"evaluation/match": found})
        return _result(anchor, mode, found)


def _result(anchor: str, mode: str, found: Found) -> CallbackResult:
    """Return the curves, the line and the measurement of one evaluation."""
    # Three kinds of measurements: solved positions, a score against an anchor, the return of a team.
    if isinstance(found, ValuePreserving):
        return _solved_result(found)
    facts = found._asdict()
    metrics = {f"evaluation/{anchor}/{mode}/{name}": fact for name, fact in facts.items() if name != "games"}
    # Only the sampled score is the measurement of the run; the greedy one is a curve.
    if mode != "sampled":
        return CallbackResult(metrics=metrics)
    what = "return per agent" if anchor == TEAM else f"against {anchor}"
    text = f"{what}: {found[0]:.3f} [{found.low:.3f}, {found.high:.3f}] in {found.games} matches"
    return CallbackResult(metrics=metrics, messages=[text], anchors={anchor: facts})


def _solved_result(found: ValuePreserving) -> CallbackResult:
    """Return the curves, the line and the summary's entry of the value-preserving moves."""
    metrics = {f"evaluation/{SOLVED}": found.share}
    metrics |= {f"evaluation/{SOLVED}/{name}": getattr(found, name) for name in ("low", "high", "sampled")}
    interval = f"[{found.low:.3f}, {found.high:.3f}]"
    text = f"value-preserving moves: {found.share:.3f} {interval} in {found.positions:,} solved positions"
    return CallbackResult(metrics=metrics, messages=[text], value_preserving_moves=found._asdict())

"""Plays the learner against fixed anchors, in a process beside training."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.exceptions import RayError

from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.anchors import Score, evaluate
from marl_app.evaluation.team import TEAM, Return, evaluate_team
from marl_app.players.agent import Agent
from marl_app.players.anchors import why_not
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.events import MatchCallback

if TYPE_CHECKING:
    from marl_app.envs.batched import BatchedEnv

logger = logging.getLogger(__name__)

MODES = ("sampled", "greedy")


class Evaluator:
    """A process of low priority that plays evaluation matches."""

    def __init__(self) -> None:
        os.nice(10)

    def evaluate(
        self, blobs: Sequence[bytes], make_env: MakeEnv, anchor: str, games: int, seed: int, greedy: bool
    ) -> Score | Return:
        """The score of a player, or one for each side, against an anchor; of a team without opponents, its return."""
        rng, agents = np.random.default_rng(seed), [Agent(blob) for blob in blobs]
        if anchor == TEAM:
            return evaluate_team(make_env, agents[0], games, rng, greedy=greedy)
        return evaluate(make_env, agents, anchor, games, rng, greedy=greedy)


def _start_process() -> Any:
    return ray.remote(num_cpus=0, max_restarts=-1)(Evaluator).remote()


class EvaluateAnchors(MatchCallback):
    """Every `every_iterations` iterations (None: only at the end) `games` matches against each anchor.

    Sides alternate; in an environment with one side the team's return is measured instead. Actions are sampled once,
    for the scores in `algorithm.anchors`, and greedy once. An evaluation that is due while the last one still runs is
    left out. A run that finishes is evaluated with its last weights.
    """

    def __init__(self, every_iterations: int | None, games: int, anchors: Sequence[str]) -> None:
        super().__init__()
        self._every_iterations = every_iterations
        self._games = games
        self._anchors = list(anchors)
        self._running: dict[Any, tuple[str, str]] = {}

    def on_algorithm_init(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """Find out which anchors can play this environment."""
        env = algorithm.config.make_env(1)
        self._games += -self._games % len(env.sides)
        self._seed = algorithm.config.seed
        if len(env.sides) == 1:
            self._anchors = [TEAM] if self._anchors else []
        else:
            self._anchors = [anchor for anchor in self._anchors if self._can_play(algorithm, env, anchor)]
        env.close()
        if self._anchors:
            self._evaluator = _start_process()

    def _can_play(self, algorithm: MatchAlgorithm, env: BatchedEnv, anchor: str) -> bool:
        reason = why_not(env, anchor)
        if reason is not None:
            algorithm.notes.append(f"no evaluation against {anchor}: {reason}")
        return reason is None

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Start an evaluation if it is time, and report what has been played."""
        due = self._every_iterations is not None and algorithm.iteration % self._every_iterations == 0
        if due and not self._running:
            self._start(algorithm)
        ready, _ = (
            ray.wait(list(self._running), num_returns=len(self._running), timeout=0) if self._running else ([], [])
        )
        self._report(algorithm, ready)

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> None:
        """Evaluate the last weights, unless the run was interrupted or failed."""
        if status != "finished" or not self._anchors:
            return
        self._running.clear()
        algorithm.fire("on_message", text=f"evaluation: {self._games} matches each of {', '.join(self._anchors)} ...")
        ray.kill(self._evaluator)
        self._evaluator = _start_process()
        self._start(algorithm)
        try:
            self._report(algorithm, list(self._running))
        except KeyboardInterrupt:  # what else happens at the end of a run still does
            algorithm.fire("on_message", text="the last evaluation was interrupted")

    def _start(self, algorithm: MatchAlgorithm) -> None:
        blobs = ray.put([algorithm.encode_learner(learner) for learner in algorithm.league.view.evaluated_learners])
        for anchor in self._anchors:
            for mode in MODES:
                self._seed += 1
                arguments = (blobs, algorithm.config.make_env, anchor, self._games, self._seed, mode == "greedy")
                self._running[self._evaluator.evaluate.remote(*arguments)] = (anchor, mode)

    def _report(self, algorithm: MatchAlgorithm, ready: Sequence[Any]) -> None:
        for reference in ready:
            anchor, mode = self._running.pop(reference)
            try:
                score: Score | Return = ray.get(reference)
            except RayError as error:
                self._failed(algorithm, anchor, error)
                continue
            facts = score._asdict()
            values = {f"evaluation/{anchor}/{mode}/{name}": fact for name, fact in facts.items() if name != "games"}
            algorithm.fire("on_scalars", values=values)
            if mode == "sampled":
                algorithm.anchors[anchor] = facts
                what = "return per agent" if anchor == TEAM else f"against {anchor}"
                text = f"{what}: {score[0]:.3f} [{score.low:.3f}, {score.high:.3f}] in {score.games} matches"
                algorithm.fire("on_message", text=text)

    def _failed(self, algorithm: MatchAlgorithm, anchor: str, error: RayError) -> None:
        """An evaluation that raised, or whose process died, is a measurement less: training goes on."""
        algorithm.counters.failures += 1
        logger.error("evaluation against %s failed\n%s", anchor, error)
        cause = str(getattr(error, "cause", error)).strip().splitlines()[0]
        algorithm.fire("on_message", text=f"evaluation against {anchor} failed: {cause}")

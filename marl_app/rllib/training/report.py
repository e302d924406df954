"""The metrics of an iteration, under the names of `marl_app/metrics/names.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from ray.rllib.utils.metrics import ALL_MODULES, LEARNER_RESULTS

from marl_app.league.league import League
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.training.cached_standing import CachedStanding
from marl_app.rllib.training.stats import IterationStats
from marl_app.rllib.training.weights import LearnerWeights
from marl_app.runs.state import Counters, LearnerTotals
from marl_app.store.outbox import count_queued
from marl_app.store.store import Store
from marl_app.store.traffic import Traffic

LEARNER_KEYS = {
    "policy_loss": "policy_loss",
    "vf_loss": "vf_loss",
    "total_loss": "total_loss",
    "entropy": "entropy",
    "approx_kl": "mean_kl",
    "grad_norm": "grad_norm",
    "magnet_kl": "magnet_kl",
    "uniform_kl": "uniform_kl",
    "default_optimizer_learning_rate": "learning_rate",
    "explained_variance": "explained_variance",
    "td_error": "td_error",
    "q_mean": "q_mean",
}
"""RLlib's and the learners' names -> ours. With several networks per player the mean over those that report it."""


class ReportedRun(Protocol):
    """What the report reads from the run."""

    iteration: Any  # RLlib's property
    spec: RunSpec
    league: League
    store: Store
    weights: LearnerWeights
    counters: Counters
    totals: dict[str, LearnerTotals]
    stats: IterationStats
    traffic: Traffic
    standing: CachedStanding


def iteration_report(run: ReportedRun, result: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of the iteration that has just ended; `result` is RLlib's."""
    stats, counters = run.stats, run.counters
    seconds = max(stats.seconds, 1e-9)
    values = {
        "iteration": run.iteration,
        "seconds": counters.seconds,
        "steps/env_steps": counters.env_steps,
        "steps/trained_agent_steps": counters.trained_agent_steps,
        "throughput/env_steps_per_s": stats.env_steps / seconds,
        "throughput/trained_agent_steps_per_s": stats.rows / seconds,
        "throughput/sample_wait_share": stats.wait_seconds / seconds,
        "throughput/learn_share": stats.learn_seconds / seconds,
        "learner/batch_rows": stats.rows,
        "learner/rows_per_env_step": stats.rows / stats.env_steps,
        "policies/parameters": run.weights.parameters,
        "policies/broadcast_bytes": run.weights.broadcast_bytes,
        "staleness/updates": stats.staleness,
        "matches/per_s": stats.matches / seconds,
        "health/env_runner_restarts": counters.restarts,
        "health/failures": counters.failures,
    }
    # Metrics that are undefined without an ended match, or without a result, are omitted.
    if stats.matches:
        values["matches/length"] = stats.match_length
        values["matches/return"] = stats.returns / stats.matches
    of_self_play, first = stats.self_play
    if of_self_play:
        values["matches/first_side_score"] = first / of_self_play
    if stats.results:
        values["league/self_play_share"] = of_self_play / stats.results
    return values | _learners(run, result) | _league(run) | _assigned(run) | _snapshots(run)


def _assigned(run: ReportedRun) -> dict[str, float]:
    """Return metrics of assignments: rate, bytes, and the distortion by placement."""
    means = run.stats.assigned.means()
    distortion = means.pop("distortion", None)
    values = {f"control_plane/{name}": value for name, value in means.items()}
    if distortion is not None and run.spec.settings.league.placement_tolerance:
        values["league/placement_distortion"] = distortion
    return values


def _learners(run: ReportedRun, result: Mapping[str, Any]) -> dict[str, float]:
    """Return what the learners that trained report: the main one under `learner/`, others under `learners/<name>/`.

    With several learners also the totals of each of them.
    """
    values: dict[str, float] = {}
    for learner in run.stats.learners:
        prefix = "learner/" if learner == run.spec.main_learner else f"learners/{learner}/"
        # RLlib's results are by module id, `learner` or `learner.network`, and have totals under ALL_MODULES.
        modules = [
            figures
            for name, figures in result.get(LEARNER_RESULTS, {}).items()
            if name != ALL_MODULES and name.partition(".")[0] == learner
        ]
        values |= {
            prefix + ours: float(np.mean(found))
            for theirs, ours in LEARNER_KEYS.items()
            if (found := [figures[theirs] for figures in modules if theirs in figures])
        }
    # Totals of all learners, also of those that did not train in this iteration.
    if len(run.totals) > 1:
        for learner, trainee in run.totals.items():
            values[f"learners/{learner}/env_steps"] = trainee.env_steps
            values[f"learners/{learner}/trained_agent_steps"] = trainee.agent_steps
            values[f"learners/{learner}/resets"] = run.league.careers[learner].resets
            values[f"learners/{learner}/snapshots"] = len(run.league.view.snapshots_of(learner))
            values |= {f"learners/{learner}/{name}": value for name, value in _strength(run, learner).items()}
    return values


def _strength(run: ReportedRun, learner: str) -> dict[str, float]:
    """Return a learner's win rates and Elo; they are omitted while undefined."""
    league = run.league
    pool = [snapshot.player.id for snapshot in league.snapshots]
    values: dict[str, float] = {}
    games = league.payoff.games(learner, pool)
    if games.sum():
        # Weighted by matches: an opponent that was met once says little.
        values["win_rate/pool"] = float(np.average(league.payoff.win_rates(learner, pool), weights=games))
        values |= {f"win_rate/{band}": score for band, (score, played) in league.bands(learner).items() if played}
        if learner in (ratings := run.standing().ratings):
            values["elo"] = ratings[learner]
    return values


def _snapshots(run: ReportedRun) -> dict[str, float]:
    """Return traffic of loading opponents; links that were never used in the run are omitted."""
    stats, traffic = run.stats, run.stats.traffic
    values: dict[str, float] = {"snapshots/runner_private_bytes": stats.private_bytes}
    if not run.league.snapshots:
        return values
    # `run.traffic` sums since the start of the process, `stats.traffic` over the iteration: a link that was used once
    # stays in the curves.
    for link, crossed in run.traffic.count.items():
        if crossed:
            values |= {f"snapshots/{link}/bytes": traffic.bytes[link], f"snapshots/{link}/count": traffic.count[link]}
    if traffic.requests:
        values["snapshots/hit_rate"] = traffic.hits / traffic.requests
        values["snapshots/fetch_ms"] = 1000 * traffic.seconds / traffic.requests
    values["snapshots/wait_share"] = traffic.waited / max(stats.sample_seconds, 1e-9)
    return values | {
        "snapshots/slot_bytes": stats.slot_bytes,
        "snapshots/corrupt": traffic.corrupt,
        "snapshots/bypassed": traffic.bypassed,
        "snapshots/failed": traffic.failed,
        "snapshots/queued": count_queued(run.store),
    }


def _league(run: ReportedRun) -> dict[str, float]:
    pool = [snapshot.player.id for snapshot in run.league.snapshots]
    values = {"league/pool_size": float(len(pool))}
    strength = _strength(run, run.spec.main_learner)
    values |= {f"league/{name}": value for name, value in strength.items()}
    if "elo" in strength:
        standing = run.standing()
        values["league/elo_pool_mean"] = float(np.mean([standing.ratings.get(player, 0.0) for player in pool]))
        for name in ("effective_pool_size", "meta_strategy_size", "cyclic_share"):
            if (value := getattr(standing, name)) is not None:
                values[f"league/{name}"] = value
    return values

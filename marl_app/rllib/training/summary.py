"""The result of a run in numbers: what `summary.json` and trackers receive."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from marl_app.config.runtime_section import AUTO_KEYS
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.store.outbox import count_queued


def run_summary(algorithm: MatchAlgorithm, status: str) -> dict[str, Any]:
    """Return the values of `summary.json`, see `metrics/summary.py`. status: finished, interrupted or failed."""
    counters = algorithm.counters
    seconds = max(counters.seconds, 1e-9)
    return {
        "status": status,
        "seconds": counters.seconds,
        "iterations": algorithm.iteration,
        "env_steps": counters.env_steps,
        "trained_agent_steps": counters.trained_agent_steps,
        "env_steps_per_s": counters.env_steps / seconds,
        "trained_agent_steps_per_s": counters.trained_agent_steps / seconds,
        "sides": [[algorithm.spec.agents[agent] for agent in side] for side in algorithm.spec.sides],
        "runtime": {name: getattr(algorithm.spec.settings.runtime, name) for name in AUTO_KEYS},
        "pool_size": len(algorithm.league.snapshots),
        "elo": elo_of_main(algorithm),
        "anchors": algorithm.anchors,
        "exploitability": algorithm.exploitability,
        "value_preserving_moves": algorithm.value_preserving_moves,
        "snapshots": asdict(algorithm.traffic)
        | {
            "queued": count_queued(algorithm.store),
            "runner_private_bytes": algorithm.stats.private_bytes,
            "slot_bytes": algorithm.stats.slot_bytes,
        },
        "control_plane": {"assignments": algorithm.assigned.assignments, **algorithm.assigned.means()},
        "checkpoint": str(algorithm.checkpoint) if algorithm.checkpoint else None,
    }


def elo_of_main(algorithm: MatchAlgorithm) -> float | None:
    """Return the main agent's Elo, from all results; None without a match against the pool, as of a team."""
    league, learner = algorithm.league, algorithm.spec.main_learner
    pool = [snapshot.player.id for snapshot in league.snapshots]
    return league.ratings()[learner] if league.payoff.games(learner, pool).sum() else None

"""A schedule: freeze a learner less and less often."""

from __future__ import annotations

from marl_app.league.schedule import TrainingProgress
from marl_app.league.view import LeagueView


class Growing:
    """Freeze after `agent_steps` agent steps, then after `factor` times as many, and so on."""

    def __init__(self, agent_steps: int, factor: float) -> None:
        if agent_steps < 1 or factor < 1:
            raise ValueError(f"agent_steps must be >= 1 and factor >= 1, not {agent_steps} and {factor}")
        self.agent_steps = agent_steps
        self.factor = factor

    def due(self, view: LeagueView, learner: str, progress: TrainingProgress) -> str | None:
        needed = self.agent_steps * self.factor ** len(view.snapshots_of(learner))
        steps = progress.steps(learner) - view.last_freeze(learner)
        return f"{steps:,} agent steps since the last freeze, {needed:,.0f} were needed" if steps >= needed else None

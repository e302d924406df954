"""The agent steps between two freezes of a learner: a number, or what a share of the run plays, so that the number fits
slow games, too."""

from __future__ import annotations

from typing import Any


class Paced:
    """A schedule with an interval of agent steps.

    agent_steps: the interval. None: as many agent steps as fit into `share_of_run` of the run, at most
    `most_agent_steps`. A slow game then has as many freezes in a run as a fast one, and not one in an hour. The number
    is measured once, when that share of the run is over, from the agent steps of all learners until then, and saved
    with the league: a run that is resumed, also with other limits, keeps it. In a run without limits, and until then,
    it is `most_agent_steps`.
    """

    def __init__(
        self, agent_steps: int | None, share_of_run: float | None = None, most_agent_steps: int | None = None
    ) -> None:
        """Raises ValueError for settings out of range."""
        if agent_steps is not None and agent_steps <= 0:
            raise ValueError(f"agent_steps must be > 0 or null, not {agent_steps}")
        if agent_steps is None and not (0 < (share_of_run or 0) <= 1 and (most_agent_steps or 0) > 0):
            raise ValueError(
                "without agent_steps share_of_run must be in (0, 1] and most_agent_steps > 0, not "
                f"{share_of_run} and {most_agent_steps}"
            )
        self.agent_steps = agent_steps
        self.share_of_run = share_of_run or 0.0
        self.most_agent_steps = most_agent_steps or 0
        self._measured: int | None = None

    def interval(self, all_steps: int, run_share: float | None) -> int:
        """Return the agent steps of the interval; measures them when their time has come.

        all_steps: the agent steps of all learners until now. run_share: of the run that is over; None without limits.
        """
        if self.agent_steps is not None:
            return self.agent_steps
        if self._measured is None and run_share is not None and run_share >= self.share_of_run:
            # The first look may come late, as after a long iteration: then fewer steps are a share of the run.
            steps = all_steps * self.share_of_run / run_share
            self._measured = max(1, min(self.most_agent_steps, round(steps)))
        # Until the share of the run is over, the upper bound stands in.
        return self._measured or self.most_agent_steps

    def state_dict(self) -> dict[str, Any]:
        """Return the measured agent steps, None before, as JSON types."""
        return {"measured": self._measured}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._measured = state["measured"]

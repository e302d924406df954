"""Requests fragments from env runners, which may be slow, raise, hang or die."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from ray.exceptions import RayActorError
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from marl_app.config.errors import RunFailedError
from marl_app.rllib.sampling.fragments import Failure, Fragment, Request
from marl_app.rllib.training.learners import Learners, LearnersRestarted

logger = logging.getLogger(__name__)

SAMPLE, PING = "sample", "ping"
CONSECUTIVE_FAILURES = 3
"""Exceptions of env runners in a row after which the run ends with the traceback. Fewer are tolerated."""


class NoProgress(RunFailedError):
    """No experience arrives; the message says why."""


class Sampler:
    """Sends requests to the env runners of a group and collects fragments. A runner has at most one request in flight.

    No more is requested than the batch still lacks: a surplus fragment would be trained on one update later. Without
    env runners the learners play, or the driver does: they get their requests in `collect`, which waits for them.

    learners: those that play their own matches; None if env runners play.
    make_request: called for each request, with the env runner's number. restore: called when no answer arrives, to
    bring back env runners that died. batch_steps, fragment_steps: env steps of a batch, and of one fragment.
    """

    def __init__(
        self,
        group: EnvRunnerGroup,
        learners: Learners | None,
        make_request: Callable[[int], Request],
        restore: Callable[[], None],
        timeout_s: float,
        batch_steps: int,
        fragment_steps: int,
    ) -> None:
        self._group = group
        self._learners = learners
        self._make_request = make_request
        self._restore = restore
        self._timeout_s = timeout_s
        self._batch_steps = batch_steps
        self._fragment_steps = fragment_steps
        self._in_a_row = 0
        self._failures = 0
        self._unmade: dict[int, str] = {}  # env runners whose constructor raised, and the exception

    def request(self, collected: int = 0) -> None:
        """Request what the batch lacks beyond `collected` env steps from env runners that are alive and idle."""
        actors = self._group._worker_manager._remote_actor_states
        healthy = self._group.healthy_env_runner_ids()
        idle = [index for index in healthy if not actors[index].get_num_in_flight_requests(SAMPLE)]
        under_way = (len(healthy) - len(idle)) * self._fragment_steps  # env steps that are being collected
        lacking = math.ceil((self._batch_steps - collected - under_way) / self._fragment_steps)
        if idle and lacking > 0:
            idle = idle[:lacking]
            kwargs = [{"request": self._make_request(runner)} for runner in idle]
            self._group.foreach_env_runner_async(SAMPLE, tag=SAMPLE, kwargs=kwargs, remote_worker_ids=idle)

    def collect(self) -> list[Fragment]:
        """Return the fragments of a batch.

        Raises NoProgress if none arrives for `timeout_s` seconds, or if env runners raise several times in a row.
        """
        fragments: list[Fragment] = []
        deadline = time.monotonic() + self._timeout_s
        while (collected := sum(fragment.env_steps for fragment in fragments)) < self._batch_steps:
            # Without env runners the matches are played within `_answers`.
            for answer in self._answers(collected):
                if isinstance(answer, Failure):
                    self._failed(answer)
                else:
                    self._in_a_row = 0
                    fragments.append(answer)
                    deadline = time.monotonic() + self._timeout_s
            if time.monotonic() > deadline:
                raise NoProgress(
                    f"no experience for {self._timeout_s:.0f} s (runtime.no_progress_timeout_s): "
                    f"{self._group.num_healthy_remote_env_runners()} of {self._group.num_remote_env_runners()} "
                    "env runners are alive; a step of the environment may hang"
                )
        return fragments

    def pop_failures(self) -> int:
        """Return how many times env runners raised since the last call."""
        failures, self._failures = self._failures, 0
        return failures

    def revived(self, timeout_s: float = 0.0) -> list[int]:
        """Return the env runners that were dead and answer again, after at most `timeout_s` seconds.

        Raises NoProgress if the constructors of all of them have raised: Ray does not start those again.
        """
        began = time.monotonic()
        actors = self._group._worker_manager
        dead = [index for index in actors.actor_ids() if not actors.is_actor_healthy(index)]
        if not dead:
            return []
        # RLlib allows one ping in flight per actor. Its own method would log each failure, every two seconds.
        actors.foreach_actor_async(PING, tag=PING, healthy_only=False, remote_actor_ids=dead)
        answers = actors.fetch_ready_async_reqs(tags=PING, timeout_seconds=timeout_s, mark_healthy=True)
        alive = [answer.actor_id for answer in answers if answer.ok]
        errors = {answer.actor_id: answer.get() for answer in answers if not answer.ok}
        self._unmade |= {
            index: str(error)
            for index, error in errors.items()
            if isinstance(error, RayActorError) and error.actor_init_failed
        }
        if len(self._unmade) == actors.num_actors():
            raise NoProgress(f"no env runner could be started: {next(iter(self._unmade.values()))}")
        if not alive:  # a dead actor's ping fails immediately: wait here, or the caller would spin
            time.sleep(max(0.0, min(0.1, began + timeout_s - time.monotonic())))
        return alive

    def _answers(self, collected: int) -> list[Fragment | Failure]:
        # Who plays: learner processes, the driver itself, or env runners.
        if self._learners is not None:
            return self._of_learners(self._learners, collected)
        if self._group.local_env_runner is not None:
            return [self._group.local_env_runner.sample(request=self._make_request(0))]
        self.request(collected)
        # Wait for a second at most, so that `collect` can restore dead env runners and notice its deadline.
        answers = self._group.fetch_ready_async_reqs(tags=SAMPLE, timeout_seconds=1.0)
        if not answers:
            self._restore()
        return [answer for _, answer in answers]

    def _of_learners(self, learners: Learners, collected: int) -> list[Fragment | Failure]:
        """Let as many learners play as the batch lacks fragments. What one that dies has played is lost."""
        lacking = math.ceil((self._batch_steps - collected) / self._fragment_steps)
        requests = [{"request": self._make_request(number)} for number in range(min(lacking, len(learners)))]
        try:
            return learners.call(_sample, requests)
        except LearnersRestarted as restarted:
            return [answer for answer in restarted.answers if answer is not None]

    def _failed(self, failure: Failure) -> None:
        self._failures += 1
        self._in_a_row += 1
        logger.error("an env runner raised; its matches start again\n%s", failure.traceback)
        if self._in_a_row >= CONSECUTIVE_FAILURES:
            raise NoProgress(f"env runners raised {self._in_a_row} times in a row; the last time:\n{failure.traceback}")


def _sample(learner: Any, *, request: Request) -> Fragment | Failure:
    answer: Fragment | Failure = learner.sample(request=request)
    return answer

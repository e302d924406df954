"""The learners of a run: one in the driver, or processes that train together.

RLlib makes its processes through Ray Train, which gives them one process group for good: when one dies, training ends.
Here they are Ray actors that Ray restarts. The group of torch (gloo on CPUs, NCCL on GPUs) is then made again, and all
learners continue from the weights and optimizer state of one that lived.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.utils.actor_manager import RemoteCallResults, ResultOrError
from torch import distributed

from marl_app.config.errors import RunFailedError
from marl_app.rllib.training.learner_state import learner_state, load_learner_state

NOTICE_S = 10.0
"""Time in which the death of a process is noticed after others lost their connection to it."""
STOP_S = 5.0


class LearnersRestarted(Exception):
    """Learners died in a call, and are there again. `answers`: of the call, None for those that did not finish it."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__("learner processes died, and were restarted")
        self.answers = answers


class Learners(LearnerGroup):
    """RLlib's LearnerGroup, with processes that survive the death of one. Learners are numbered from 0.

    restarts: how many processes were restarted. nodes: Ray's node of each process; empty if the driver trains.
    timeout_s: how long a call, or a restart, may take. The start of the run waits for resources of a cluster.
    """

    def __init__(self, *, config: Any, module_spec: Any = None, placement_group: Any = None) -> None:
        self.restarts = 0
        self.nodes: list[str] = []
        self.timeout_s: float = config.spec.settings.runtime.no_progress_timeout_s
        self._env_steps = 0  # for schedules of a learner that is restarted
        # A learner in the driver: RLlib's constructor, which would use Ray Train for the processes made below.
        if not config.num_learners:
            super().__init__(config=config, module_spec=module_spec, placement_group=placement_group)
            return
        self.config, self._module_spec, self._learner = config.copy(copy_frozen=False), module_spec, None
        self._is_shut_down = False
        count, gpus = config.num_learners, config.num_gpus_per_learner
        cpus = config.num_cpus_per_learner
        actor = ray.remote(config.learner_class).options(
            num_cpus=(0 if gpus else 1) if cpus == "auto" else cpus,
            num_gpus=gpus,
            resources=config.custom_resources_per_learner or None,
            max_restarts=-1 if count > 1 else 0,  # of a single one nothing would be left to go on from
        )
        self._workers = [actor.remote(config=config, module_spec=module_spec) for _ in range(count)]
        self._assemble(source=0, timeout_s=None)

    def call(self, function: Callable[..., Any], arguments: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return `function(learner, **arguments[i])` of the first learners, all at the same time.

        Raises LearnersRestarted after processes died; RunFailedError if one does not answer for `timeout_s`;
        RayActorError if none is left; and what `function` raises.
        """
        if self._learner is not None:
            return [function(self._learner, **arguments[0])]
        workers = self._workers[: len(arguments)]
        calls = [worker.apply.remote(function, **given) for worker, given in zip(workers, arguments, strict=True)]
        answers, errors = self._answers(calls)
        died = [index for index, error in errors.items() if isinstance(error, RayActorError)]
        if not errors:
            return answers
        # An exception without a death is one of `function`. After a death the other errors are lost connections to it.
        if not died or len(self._workers) == 1:
            raise next(iter(errors.values()))
        self._recover(died)
        raise LearnersRestarted(answers)

    def each(self, function: Callable[..., Any], **arguments: Any) -> list[Any]:
        """Return `function(learner, **arguments)` of every learner. It must do no harm if it runs twice."""
        return self._twice(function, [arguments] * max(1, len(self)))

    def first(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Return `function(learner, **arguments)` of the first learner. It must do no harm if it runs twice."""
        [answer] = self._twice(function, [arguments])
        return answer

    def train(self, arguments: Sequence[Mapping[str, Any]], env_steps: int) -> list[Any]:
        """Return the first learner's results of `train(**arguments[i])`; none if a learner died: the batch is lost."""
        self._env_steps = env_steps
        try:
            results: list[Any] = self.call(_train, [{**given, "env_steps": env_steps} for given in arguments])[0]
        except LearnersRestarted:
            return []
        return results

    # RLlib's interface.

    def foreach_learner(self, func: Callable[..., Any], **kwargs: Any) -> RemoteCallResults:
        """As `each`, with the result that RLlib expects."""
        results = RemoteCallResults()
        for index, answer in enumerate(self.each(func, **kwargs)):
            results.add_result(index, ResultOrError(result=answer), None)
        return results

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """As RLlib's, of the first learner."""
        parts = [self._get_subcomponents(COMPONENT_LEARNER, given) for given in (components, not_components)]
        return {COMPONENT_LEARNER: self.first(_state, components=parts[0], not_components=parts[1], **kwargs)}

    def update(self, **arguments: Any) -> list[Any]:
        """Return the results of RLlib's update with one batch, in the one learner there is."""
        return self.call(_update, [arguments])

    def shutdown(self) -> None:
        """End the learners."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        if self._learner is not None:
            self._learner.shutdown()
            return
        # Give the learners time to close their environments, then end the processes.
        stopping = [worker.shutdown.remote() for worker in self._workers]
        with contextlib.suppress(RayError):
            ray.wait(stopping, num_returns=len(stopping), timeout=STOP_S)
        for worker in self._workers:
            ray.kill(worker)

    # Starting and restarting.

    def _twice(self, function: Callable[..., Any], arguments: Sequence[Mapping[str, Any]]) -> list[Any]:
        try:
            return self.call(function, arguments)
        except LearnersRestarted:
            return self.call(function, arguments)

    def _answers(self, calls: list[Any]) -> tuple[list[Any], dict[int, Exception]]:
        """Wait for calls. Return the answers, None where there is none, and errors by number of the learner."""
        answers: list[Any] = [None] * len(calls)
        errors: dict[int, Exception] = {}
        waiting, deadline = dict(zip(calls, range(len(calls)), strict=True)), time.monotonic() + self.timeout_s
        # Answers are taken as they come; after a first error the others have NOTICE_S to answer or fail.
        while waiting and (left := deadline - time.monotonic()) > 0:
            for reference in ray.wait(list(waiting), timeout=left)[0]:
                index = waiting.pop(reference)
                try:
                    answers[index] = ray.get(reference)
                except RayError as error:
                    errors[index] = error
                    # The others wait for it, or have lost their connection, too.
                    deadline = min(deadline, time.monotonic() + NOTICE_S)
        if waiting and not errors:
            raise RunFailedError(
                f"learner {min(waiting.values())} does not answer for {self.timeout_s:.0f} s "
                "(runtime.no_progress_timeout_s): a step of the environment may hang"
            )
        return answers, errors

    def _recover(self, died: list[int]) -> None:
        """Go on from a learner that lived. Raises RunFailedError if learners keep dying, or none lived."""
        lived = [index for index in range(len(self)) if index not in died]
        if not lived:
            raise RunFailedError("all learner processes have died: killed, or out of memory")
        self.restarts += len(died)
        try:
            self._assemble(lived[0], self.timeout_s)
        except RayError as error:  # a GetTimeoutError, too
            raise RunFailedError(f"learner {died[0]} has died, and does not start again: {error}") from error

    def _assemble(self, source: int, timeout_s: float | None) -> None:
        """Build learners that are new, make the process group, and give all the state of learner `source`."""
        # 1. Wait for every process, and build the learners of those that are new.
        self.nodes = [self._ready(worker, timeout_s) for worker in self._workers]
        if len(self) == 1:
            return
        # 2. Make the process group: rank 0 is on the node of the first learner.
        address = ray.get(self._workers[0].apply.remote(_free_address))
        settings = {"address": address, "size": len(self), "timeout_s": self.timeout_s}
        self._all(_join, [{**settings, "rank": rank} for rank in range(len(self))])
        # A reference is resolved in the learner that receives it: the driver never has the weights.
        state = self._workers[source].apply.remote(_whole_state)
        self._all(_load_whole_state, [{"state": state, "env_steps": self._env_steps}] * len(self))

    def _all(self, function: Callable[..., Any], arguments: Sequence[Mapping[str, Any]]) -> None:
        pairs = zip(self._workers, arguments, strict=True)
        ray.get([worker.apply.remote(function, **given) for worker, given in pairs], timeout=self.timeout_s)

    def _ready(self, worker: Any, timeout_s: float | None) -> str:
        """Wait until a process is there and its learner is built. Return its node."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                return str(ray.get(worker.apply.remote(_build), timeout=timeout_s))
            except RayActorError:  # it is being restarted
                if deadline is None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


# What is called in a learner's process.


def _build(learner: Any) -> str:
    if not learner._is_built:
        learner.build()
    return str(ray.get_runtime_context().get_node_id())


def _free_address(learner: Any) -> str:
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


def _join(learner: Any, *, address: str, rank: int, size: int, timeout_s: float) -> None:
    """Make the process group, after leaving one of which a process has died."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
    learner._learner_index = rank
    # NCCL refuses two processes on one GPU.
    alone = learner.config.num_gpus_per_learner >= 1 and learner.device.type == "cuda"
    distributed.init_process_group(
        "nccl" if alone else "gloo",
        init_method=f"tcp://{address}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=timeout_s),
    )


def _whole_state(learner: Any) -> dict[str, Any]:
    # Without RLlib's sequence number: it would ignore weights that are not newer than its own.
    weights = learner.get_state(components=COMPONENT_RL_MODULE)[COMPONENT_RL_MODULE]
    return {"weights": {COMPONENT_RL_MODULE: weights}, "rest": learner_state(learner)}


def _load_whole_state(learner: Any, *, state: dict[str, Any], env_steps: int) -> None:
    learner.set_state(state["weights"])
    arrays, plain = state["rest"]
    load_learner_state(learner, arrays=dict(arrays), plain=plain, env_steps=env_steps)


def _state(learner: Any, **arguments: Any) -> Any:
    return learner.get_state(arguments.pop("components"), **arguments)


def _train(learner: Any, **arguments: Any) -> Any:
    return learner.train(**arguments)


def _update(learner: Any, **arguments: Any) -> Any:
    return learner.update(**arguments)

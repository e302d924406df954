"""Small algorithms, built from the configuration in the same way as in the app."""

import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import ray

from marl_app.assembly.training import build
from marl_app.config.compose import load
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.rllib.training.dispatch import EventDispatcher
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.codec import decode

SMALL_RUN = (
    "+experiment=league",
    "stop.minutes=null",
    "model.hidden=[16]",
    "model.precision=float32",
    "algorithm.train_batch_size_per_learner=512",
    "algorithm.minibatch_size=128",
    "league.schedule.agent_steps=1000",
    "league/matchmaker=latest_past",
    "runtime.num_cpus=4",
    "runtime.num_env_runners=0",
    "runtime.num_learners=0",
    "runtime.num_gpus_per_learner=0",
    "runtime.num_envs_per_env_runner=32",
    "runtime.opponent_slots=4",
    "runtime.pipeline=false",
    "callbacks=[league]",
)
"""512 env steps per update, played by the driver; a snapshot every 1,000 agent steps, about every third update."""

SMALL = (*SMALL_RUN, "algorithm.num_epochs=1")
"""The same with PPO, in one epoch."""


SMALL_TEAM = (
    "+experiment=qmix",
    "env=two_step",
    "stop.minutes=null",
    "model.hidden=[32]",
    "model.precision=float32",
    "algorithm.train_batch_size_per_learner=64",
    "algorithm.minibatch_size=32",
    "algorithm.training_intensity=4",
    "algorithm.num_steps_sampled_before_learning_starts=64",
    "algorithm.replay_capacity=2000",
    "algorithm.target_network_update_freq=320",
    "algorithm.epsilon=[[0,1.0]]",
    "runtime.num_cpus=4",
    "runtime.num_env_runners=0",
    "runtime.num_learners=0",
    "runtime.num_gpus_per_learner=0",
    "runtime.num_envs_per_env_runner=32",
    "runtime.pipeline=false",
    "callbacks=[league]",
)
"""Each iteration: one two-step match in each of 32 environments, eight gradient steps, all actions at random."""


def small(folder, *overrides, base=SMALL):
    """Return the configuration of a small run in `folder`."""
    return load([*base, *overrides], output_dir=str(folder))


@contextmanager
def running(folder, *overrides, base=SMALL) -> MatchAlgorithm:
    """Build an algorithm, and stop it at the end by killing its processes: a hanging process would not end.

    Attribute `messages_at_start`: the callbacks' messages during the build.
    """
    reports, report = [], EventDispatcher.report

    def note_and_report(self, metrics, images, messages=(), iteration=False):
        reports.extend(messages)
        report(self, metrics, images, messages, iteration)

    EventDispatcher.report = note_and_report
    try:
        algorithm: MatchAlgorithm = build(small(folder, *overrides, base=base)).build_algo()
    finally:
        EventDispatcher.report = report
    algorithm.messages_at_start = reports
    try:
        yield algorithm
    finally:
        for actor in algorithm.env_runner_group._worker_manager.actors().values():
            ray.kill(actor)
        for callback in algorithm.callbacks:
            if getattr(callback, "_evaluator", None) is not None:
                ray.kill(callback._evaluator)
        algorithm.learner_group.shutdown()
        algorithm.records.flush()


def train_until(algorithm, done, seconds=60):
    """Train until `done()`, with pauses in which low-priority processes (evaluation, payoffs) get CPU time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        algorithm.train()
        if done():
            return
        time.sleep(0.1)
    raise AssertionError(f"not done after {seconds} s")


def killed_and_resumed(folder, *overrides, when_killed=lambda algorithm: None):
    """Train four iterations, of which the second is saved, then resume and train three more, to the end of the run.

    Return `league/elo` after each of the first four, None without one, and after the last.
    """
    with running(folder, *overrides) as algorithm:
        messages, elo = watch_messages(algorithm), []
        for iteration in range(4):
            algorithm.train()
            elo.append(algorithm.report.get("league/elo"))
            if iteration == 1:
                save_checkpoint(algorithm, folder / "checkpoints", keep=1)
        when_killed(algorithm)
        assert not [message for message in messages if message.startswith("warning")]
    with running(folder, *overrides) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(folder / "checkpoints"))
        algorithm.records.truncate(algorithm.iteration)
        for _ in range(3):
            algorithm.train()
        elo.append(algorithm.report["league/elo"])
        algorithm.events.fire("on_run_end", status="finished")
    return elo


def watch(algorithm, event):
    """Return a list that collects the arguments of every later event of this name."""
    events, answers = [], algorithm.events.answers

    def note_and_answer(name, **arguments):
        if name == event:
            events.append(arguments)
        return answers(name, **arguments)

    algorithm.events.answers = note_and_answer
    return events


def watch_reports(algorithm):
    """Return a list that collects every later `RunReport`."""
    return _Mapped(watch(algorithm, "on_report"), lambda arguments: [arguments["report"]])


def watch_messages(algorithm):
    """Return a list that collects every later message."""
    return _Mapped(watch_reports(algorithm), lambda report: report.messages)


def watch_requests(algorithm):
    """Return a list that collects every later request to an env runner."""
    requests, make_request = [], algorithm._sampler._make_request

    def make_and_note(runner):
        requests.append(make_request(runner))
        return requests[-1]

    algorithm._sampler._make_request = make_and_note
    return requests


class _Mapped:
    """A view of a growing list: the items of `get(item)` for each item."""

    def __init__(self, items, get):
        self._items, self._get = items, get

    def __iter__(self):
        return (part for item in self._items for part in self._get(item))

    def __len__(self):
        return sum(1 for _ in self)

    def __getitem__(self, index):
        return list(self)[index]


def blob_weights(algorithm, snapshot):
    """Return a snapshot's weights from the store."""
    return decode(algorithm.store.get(snapshot.digest))[0]


def matches(folder):
    """Return the match records of a run."""
    return pd.read_parquet(folder / "matches")


def equal(first, second):
    """Return whether two mappings hold the same arrays, bit by bit."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)

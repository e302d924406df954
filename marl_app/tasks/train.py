"""Train: iterate until a limit, a signal or an error, and leave everything in the run directory."""

from __future__ import annotations

import logging
import math
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from marl_app.assembly.training import build
from marl_app.config.command import command
from marl_app.config.errors import ConfigError, RunFailedError
from marl_app.config.flatten import flatten
from marl_app.config.machine import AUTO
from marl_app.config.record import write_record
from marl_app.config.schema import Config
from marl_app.evaluation.team import TEAM
from marl_app.metrics.summary import write_summary
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.checkpoint import load_checkpoint
from marl_app.rllib.training.config import MatchConfig
from marl_app.rllib.training.dispatch import RUN_LOG
from marl_app.rllib.training.summary import elo_of_main, run_summary
from marl_app.run import ray_session
from marl_app.runs import checkpoints
from marl_app.runs.lock import RunInUseError, run_lock
from marl_app.runs.trust import recorded_config
from marl_app.watch import watched

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; a machine or a cluster that stops; a closed terminal."""
FINISHED, INTERRUPTED, FAILED = "finished", "interrupted", "failed"
UNLIKE_RECORDED = ("output_dir", "resume", "run", "trust")
"""Keys that every resumed run sets."""


def train(config: Config) -> float:
    """Train the configured learner.

    Return what `sweep.objective` names, NaN if the run has not measured it (see `objective`).

    Raises KeyboardInterrupt if it was interrupted, after everything has been saved.
    """
    directory = Path(config.output_dir)
    # 1. Refuse a directory that does not fit the command, before anything is written.
    saved = checkpoints.latest_checkpoint(directory / "checkpoints")
    if config.resume and saved is None:
        raise ConfigError(f"resume={config.resume}: there is no whole checkpoint in {directory / 'checkpoints'}")
    if not config.resume and checkpoints.has_checkpoints(directory / "checkpoints"):
        raise ConfigError(f"hydra.run.dir={directory} holds a run already: continue it with resume={directory}")
    # 2. Build everything in this process: wrong settings raise ConfigError before Ray starts.
    rllib = build(config)
    # 3. Lock the directory, record the job, have the process watched, and train.
    with ExitStack() as contexts:
        try:
            contexts.enter_context(run_lock(directory))
        except RunInUseError as error:
            raise ConfigError(f"hydra.run.dir: {error}") from error
        except OSError as error:
            raise ConfigError(
                f"hydra.run.dir={directory} cannot be written ({error.strerror}): give another directory"
            ) from error
        # A resumed run keeps its record until its checkpoint has been loaded: a refused command changes nothing.
        if saved is None:
            write_record(config)
        contexts.enter_context(watched(directory))
        return _train(config, rllib, saved, directory)


def _train(config: Config, rllib: MatchConfig, saved: checkpoints.Checkpoint | None, directory: Path) -> float:
    with ray_session(config), _stop_requests() as stop, _built(rllib) as algorithm:
        if saved is not None:
            # The changes are read before the record is replaced.
            _continue(algorithm, saved, changes(recorded_config(directory), config))
            write_record(config)
        # What lies behind the checkpoint is played again; without one, what a run left that died before its first.
        algorithm.records.truncate(algorithm.iteration)
        # The status if an exception ends the loop: `_end` writes it.
        status = FAILED
        try:
            status = _iterate(algorithm, stop)
        except KeyboardInterrupt:
            status = INTERRUPTED
        finally:
            stop["ending"] = True
            _end(algorithm, status, directory)
    if status == INTERRUPTED or stop["requested"]:  # at the last moment, it did not interrupt the run
        raise KeyboardInterrupt(stop["signal"])  # so that a sweep ends too
    return objective(algorithm.anchors, algorithm.exploitability, elo_of_main(algorithm), config)


train.accepts_job = True  # type: ignore[attr-defined]


@contextmanager
def _built(rllib: MatchConfig) -> Iterator[MatchAlgorithm]:
    """The algorithm. Its learner ends with the context: collected after Ray is gone, it would start another Ray."""
    algorithm: MatchAlgorithm = rllib.build_algo()
    try:
        yield algorithm
    finally:
        algorithm.learner_group.shutdown()


def _continue(algorithm: MatchAlgorithm, saved: checkpoints.Checkpoint, changed: Sequence[str]) -> None:
    """Go on where the checkpoint was written. Raises ConfigError if it does not fit this configuration.

    changed: settings that differ from those recorded. They count from now on: what was recorded is not changed.
    """
    try:
        load_checkpoint(algorithm, saved)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        algorithm.events.fire("on_run_end", status=FAILED)
        text = str(error.args[0]) if error.args else ""
        known = str(saved.path) in text  # a sentence of `load_checkpoint`
        raise ConfigError(
            f"resume: {text}" if known else f"resume: {saved.path} is malformed ({type(error).__name__}: {text})"
        ) from error
    text = f"continues {saved.path} at iteration {algorithm.iteration}"
    algorithm.events.message(f"{text}; from here on {', '.join(changed)}" if changed else text)


def changes(recorded: Mapping[str, Any], config: Config) -> list[str]:
    """Return "key=value (was value)" for each key of a recorded configuration that has another value now."""
    now = dict(flatten(asdict(config)))
    return [
        # Left out: interpolations, values chosen for the machine, and keys that every resumed run sets.
        f"{key}={now[key]} (was {value})"
        for key, value in flatten(recorded)
        if key in now and now[key] != value and "${" not in str(value) and value != AUTO and key not in UNLIKE_RECORDED
    ]


def _iterate(algorithm: MatchAlgorithm, stop: dict[str, Any]) -> str:
    while (algorithm.share_done() or 0.0) < 1.0:
        if stop["requested"]:
            return INTERRUPTED
        try:
            algorithm.train()
        except RayActorError as error:  # env runners and one of several learners are started again, the only one is not
            raise RunFailedError("a learner process has died: killed, or out of memory") from error
    return FINISHED


@contextmanager
def _stop_requests() -> Iterator[dict[str, Any]]:
    """`["requested"]` becomes True at one of `STOP_SIGNALS`; the iteration is finished first. A second interrupts it.

    While the run is ending (`["ending"]`), the first one interrupts what takes long: the last evaluation.
    """
    stop: dict[str, Any] = {"requested": False, "ending": False, "signal": signal.SIGINT}

    def request(number: int, frame: Any) -> None:
        stop["signal"] = number
        if stop["requested"] or stop["ending"]:
            raise KeyboardInterrupt
        stop["requested"] = True
        print("\nstopping after this iteration; once more to stop at once", flush=True)

    before = {number: signal.signal(number, request) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(algorithm: MatchAlgorithm, status: str, directory: Path) -> None:
    """Callbacks, `summary.json` (even if a callback fails), and the last lines."""
    try:
        algorithm.events.fire("on_stop", status=status)  # saves; the end of a run may take long
        algorithm.events.fire("on_run_end", status=status)
        algorithm.records.flush()
    finally:
        summary = run_summary(algorithm, status)
        write_summary(directory / "summary.json", summary)
        for line in closing_lines(summary, directory):
            print(line, flush=True)
            logging.getLogger(RUN_LOG).info("%s", line)


def objective(
    anchors: Mapping[str, Mapping[str, float]], exploitability: Mapping[str, float], elo: float | None, config: Config
) -> float:
    """Return what sweepers compare: more is better, and runs of different seeds and settings can be compared.

    anchors, exploitability: of the last measurements. NaN, which sweepers count as a failed run, if the run has not
    measured what `sweep.objective` names, or nothing at all.
    """
    # What the run has measured, by name; more is better for all.
    known = {name: score["score"] for name, score in anchors.items() if name != TEAM}
    if TEAM in anchors:
        known["return"] = anchors[TEAM]["agent_return"]
    if "agent" in exploitability:
        known["exploitability"] = -exploitability["agent"]
    if elo is not None:
        known["elo"] = elo
    name = config.sweep.objective
    # By default a team's return, else the score against the last configured anchor that was measured.
    if name is None:
        order = ("return", *reversed(config.evaluation.anchors), "exploitability")
        name = next((candidate for candidate in order if candidate in known), "exploitability")
    return known.get(name, math.nan)


def closing_lines(summary: dict[str, Any], directory: Path) -> list[str]:
    """How the run ended, how strong the agent is, where everything lies, and how to continue."""
    strength = [f"Elo {summary['elo']:.0f}"] if summary["elo"] is not None else []
    strength += [
        f"{name} {next(iter(score.values())):.3f} [{score['low']:.3f}, {score['high']:.3f}]"
        for name, score in summary["anchors"].items()
    ]
    strength += [f"exploitability of the {k.replace('_', '-')} {v:.3f}" for k, v in summary["exploitability"].items()]
    if solved := summary["value_preserving_moves"]:
        strength.append(f"value-preserving moves {solved['share']:.3f} [{solved['low']:.3f}, {solved['high']:.3f}]")
    quoted = shlex.quote(str(directory))
    curves = f"curves: tensorboard --logdir {quoted}"
    if summary["checkpoint"]:
        play, how = f"play with it:  marl_app.load_agent({str(directory)!r})      {curves}", command(resume=directory)
    else:
        play, how = curves, "it has no checkpoint: start it again"
    return [
        f"{summary['status']} after {summary['seconds']:.0f} s: {summary['iterations']} iterations, "
        f"{summary['env_steps']:,} env steps ({summary['env_steps_per_s']:,.0f}/s), "
        f"{summary['trained_agent_steps']:,} trained agent steps ({summary['trained_agent_steps_per_s']:,.0f}/s)"
        + (f", pool of {summary['pool_size']}" if len(summary["sides"]) > 1 else ""),
        f"strength: {', '.join(strength) or 'not evaluated'}",
        f"run directory: {directory}  (tb/, checkpoints/, snapshots/, matches/, progress.jsonl, summary.json)",
        play,
        *([] if summary["status"] == FINISHED else [f"continue it:  {how}"]),
    ]

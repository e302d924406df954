"""The run directories of `benchmarks.exact`: which runs have finished, which are missing, what was recorded."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from benchmarks.exact_cases import Case, case_overrides
from benchmarks.run_queue import TrainingRun
from marl_app.runs.lock import run_lock
from marl_app.tasks.train import FINISHED

STEPS_KEY = "stop.env_steps="


class OtherSettingsError(ValueError):
    """A finished run is in the place of one with other settings."""


def recorded(folder: Path) -> list[str] | None:
    """Return the overrides of the finished run in a folder; None if there is none, or if it has not finished."""
    summary, overrides = folder / "summary.json", folder / ".hydra" / "overrides.yaml"
    if not (summary.is_file() and overrides.is_file()):
        return None
    if json.loads(summary.read_text(encoding="utf-8"))["status"] != FINISHED:
        return None
    return [str(line) for line in OmegaConf.load(overrides)]


def recorded_env_steps(folder: Path) -> int:
    """Return the limit of env steps of the finished run in a folder."""
    line = next(line for line in recorded(folder) or () if line.startswith(STEPS_KEY))
    return int(line.removeprefix(STEPS_KEY))


def missing_runs(directory: Path, cases: Sequence[Case], seeds: Sequence[int], env_steps: int) -> list[TrainingRun]:
    """Return the runs that have not finished: game by game, all cases with one seed before the next seed.

    Raises OtherSettingsError for a finished run with other overrides, such as other env steps.
    """
    settings = {case: case_overrides(case, env_steps) for case in cases}
    games = list(dict.fromkeys(case.game for case in cases))
    missing = []
    # By game, then by seed: all cases have the same number of seeds at any time.
    for case, seed in sorted(itertools.product(cases, seeds), key=lambda run: (games.index(run[0].game), run[1])):
        run = TrainingRun(directory / case.folder / str(seed), [*settings[case], f"seed={seed}"])
        found = recorded(run.directory)
        if found is None:
            missing.append(run)
        elif found != run.overrides:
            raise OtherSettingsError(
                f"{run.directory} holds a finished run with other settings or env steps: give another --directory, "
                "or remove it"
            )
    return missing


def clear(run: TrainingRun) -> None:
    """Remove what a run left that has not finished: it starts again. Raises RunInUseError if it is still training."""
    if run.directory.exists():
        # The lock is taken only to see that no process holds it.
        with run_lock(run.directory):
            pass
        shutil.rmtree(run.directory)

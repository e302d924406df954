"""What a run left on disk, as far as it is there: an unfinished or old run lacks files and columns."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from marl_app.report.blocks import Absent
from marl_app.runs.checkpoints import DAMAGES, latest_state
from marl_app.runs.regular_file import read_regular
from marl_app.runs.state import RunState
from marl_app.runs.trust import MOST_BYTES, RECORD, STARTS, read_yaml, recorded_config

STEPS = "steps/env_steps"
EVALUATIONS = "evaluations"
MATCH_COLUMNS = ["iteration", "learner", "opponent", "rule", "wins", "draws", "losses"]
MOST_WARNINGS = 20
TEAM = "team"
"""The name of the evaluation of a team without opponents, where those of leagues have names of anchors."""


@dataclass(frozen=True)
class RecordedRun:
    """The records of a run directory.

    name: the run, as the page calls it. overrides: as given on the command line. choices: group -> chosen option.
    starts: program and time of each start, see `config/program.py`. summary: {} for a run that has not ended.
    progress: metrics over time, columns as in docs/metrics.md; may have no rows.
    meta_strategy: the lines of `meta_strategy.jsonl`. warnings: the newest in its log.
    cross_plays, exploits: directory -> results of task=evaluate and task=exploit in the run, oldest first.
    sizes: bytes of each file and folder in the directory, without these results.
    """

    directory: Path
    name: str
    overrides: list[str]
    config: dict[str, Any]
    choices: dict[str, str]
    starts: list[dict[str, Any]]
    summary: dict[str, Any]
    progress: pd.DataFrame
    meta_strategy: list[dict[str, Any]]
    state: RunState | None
    warnings: list[str]
    cross_plays: dict[str, dict[str, Any]] = field(default_factory=dict)
    exploits: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def learners(self) -> list[str]:
        """The ids of the learners, the main one first; as configured, if there is no checkpoint."""
        if self.state is not None:
            return [learner.player.id for learner in self.state.learners]
        learners = (self.config.get("league") or {}).get("learners") or {}
        return list(learners) or ["main"]

    @property
    def is_team(self) -> bool:
        """Whether the run is of a team without opponents."""
        # By the sides in the summary; a run that has not ended is a team's if its evaluations are those of a team.
        return len(self.summary.get("sides") or ("", "")) == 1 or TEAM in self.anchors

    @property
    def has_ended(self) -> bool:
        """Whether the summary describes the run as it is now."""
        return bool(self.summary) and not self.has_gone_on

    @property
    def has_gone_on(self) -> bool:
        """Whether the run was resumed after its summary, and has not ended since."""
        last = 0 if self.progress.empty else self.progress["iteration"].iloc[-1]
        return bool(self.summary) and last > (self.summary.get("iterations") or 0)

    @property
    def anchors(self) -> dict[str, dict[str, float]]:
        """The latest evaluation against each anchor: score, low, high, games; of a team its returns."""
        return self._latest("anchors")

    @property
    def exploitability(self) -> dict[str, float]:
        """The latest exact exploitability of agent and meta_strategy; empty if it was not computed."""
        return self._latest("exploitability")

    @property
    def value_preserving_moves(self) -> dict[str, float]:
        """The latest evaluation in solved positions; empty if there was none."""
        return self._latest("value_preserving_moves")

    def total(self, key: str) -> float | None:
        """Return a total of the run so far: seconds, iterations, env_steps or trained_agent_steps; None if unknown."""
        # The columns of `progress` have other names for two of these totals.
        return self.at_end(key, {"iterations": "iteration", "seconds": "seconds"}.get(key, f"steps/{key}"))

    def at_end(self, key: str, metric: str) -> float | None:
        """Return a value of the summary; where it is none, or is not the end, the last value of this metric."""
        # The summary of a killed run has null for what the run had no time to say.
        value: float | None = self.summary.get(key) if self.has_ended else None
        return self.last(metric) if value is None else value

    def last(self, metric: str) -> float | None:
        """Return the last value of a metric; None if the run has none."""
        if metric not in self.progress:
            return None
        values = self.progress[metric].dropna()
        return None if values.empty else float(values.iloc[-1])

    def matches(self) -> pd.DataFrame:
        """Return the match records, with the column `games`. Raises Absent without any."""
        try:
            rows = pd.read_parquet(self.directory / "matches", columns=MATCH_COLUMNS)
        except (OSError, ValueError) as error:
            raise Absent("matches/ is missing or cannot be read") from error
        if rows.empty:
            raise Absent("no match was recorded")
        return rows.assign(games=rows["wins"] + rows["draws"] + rows["losses"])

    def _latest(self, name: str) -> dict[str, Any]:
        """Return a measurement of the summary, or of the state if the run has not ended."""
        state = getattr(self.state, name) if self.state is not None else {}
        # The summary is older than the state if the run was resumed after it.
        ended = {} if self.has_gone_on else self.summary.get(name)
        return ended or state or {}


def read_run(directory: Path) -> RecordedRun:
    """Return the records of a run directory. Raises ValueError if no run was started there."""
    if not (directory / RECORD / "config.yaml").is_file():
        raise ValueError(f"{directory} is not the directory of a run ({RECORD}/config.yaml is missing): give another")
    # 1. Read what is small: metrics, and Hydra's record of the command.
    progress = pd.DataFrame(_json_lines(directory / "progress.jsonl"))
    choices = _yaml(directory / RECORD / "hydra.yaml")
    for key in ("hydra", "runtime", "choices"):
        choices = choices.get(key) if isinstance(choices, dict) else None
    overrides = _yaml(directory / RECORD / "overrides.yaml")
    # 2. Join it with the rest. Each reader returns something empty for a missing or damaged file.
    return RecordedRun(
        directory,
        "/".join(directory.resolve().parts[-2:]),
        [str(line) for line in overrides] if isinstance(overrides, list) else [],
        recorded_config(directory),
        {str(group): str(option) for group, option in (choices if isinstance(choices, dict) else {}).items()},
        list(_json_lines(directory / RECORD / STARTS)),
        _json(directory / "summary.json"),
        progress if {"iteration", STEPS} <= set(progress) else pd.DataFrame(columns=["iteration", STEPS]),
        list(_json_lines(directory / "meta_strategy.jsonl")),
        _state(directory),
        list(_warnings(directory / "marl_app.log"))[-MOST_WARNINGS:],
        _results(directory, "cross_play.json"),
        _results(directory, "exploit.json"),
        {path.name: _size(path) for path in sorted(directory.iterdir()) if path.name != EVALUATIONS},
    )


def _state(directory: Path) -> RunState | None:
    """Return the state of the newest whole checkpoint, None without one; a damaged one is not a reason to warn here."""
    # The logger is silenced for this call only.
    logger = logging.getLogger("marl_app.runs.checkpoints")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return latest_state(directory / "checkpoints")
    finally:
        logger.setLevel(before)


def _results(directory: Path, name: str) -> dict[str, dict[str, Any]]:
    """Return the content of the files of this name in the results of later tasks, by their directory, oldest first."""
    found = {file.parent.name: _json(file) for file in sorted(directory.glob(f"{EVALUATIONS}/*/{name}"))}
    return {place: content for place, content in found.items() if content}


def _json_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are whole: a killed run may leave a torn one."""
    if not file.is_file():
        return
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict):
                yield content


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_regular(file, MOST_BYTES))
    except DAMAGES:
        return {}
    return content if isinstance(content, dict) else {}


def _yaml(file: Path) -> Any:
    try:
        return read_yaml(file)
    except ValueError:
        return None


def _warnings(file: Path) -> Iterator[str]:
    """Yield the warnings of a run's log: lines of the form [time][logger][level] - warning: text."""
    if file.is_file():
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                # Head: [time][logger][level], from which the time is shown.
                head, dash, text = line.rstrip("\n").partition(" - ")
                if dash and ("[WARNING]" in head or text.startswith("warning:")):
                    yield f"{head[1:20]}  {text}"


def _size(path: Path) -> int:
    """Return the bytes of a file or folder, without following links."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())

"""The sections of a run's page. One without records becomes a line that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml

from marl_app.config.command import command
from marl_app.report import league_sections, strength_sections
from marl_app.report.blocks import Absent, Block, Boards, Code, Facts, Section, Table, Text
from marl_app.report.curves import curve, curves, picture
from marl_app.report.recorded_run import RecordedRun
from marl_app.report.words import NONE, duration, number, share, size
from marl_app.runs.checkpoints import DAMAGES

MAIN_CHOICES = ("env", "algorithm", "model", "league/matchmaker", "league/schedule", "league/meta", "runtime")
COMMIT_LENGTH = 12


def sections(run: RecordedRun, match: Callable[[], Boards]) -> list[Section]:
    """Return all sections of a run; those without records are `absent`. `match`: returns a match, or raises Absent."""
    # (anchor, title, function that makes the blocks), in the order of the page.
    made: Sequence[tuple[str, str, Callable[[RecordedRun], Any]]] = (
        ("result", "Result", result),
        ("run", "What was run", what_was_run),
        ("curves", "Curves", curves),
        ("evaluation", "Evaluation", strength_sections.evaluation),
        ("exploitability", "Exploitability", strength_sections.exploitability),
        ("cross-play", "Cross-play", strength_sections.cross_play),
        ("payoff", "Payoff", league_sections.payoff),
        ("matches", "Opponents over time", league_sections.opponents),
        ("lineage", "Lineage", league_sections.lineage),
        ("meta-strategy", "Meta-strategy", league_sections.meta_strategy),
        ("alarms", "Alarms", league_sections.alarms),
        ("resources", "Resources", resources),
        ("match", "A match", lambda _: [match()]),
    )
    return [_section(run, key, title, make) for key, title, make in made]


def _section(run: RecordedRun, key: str, title: str, make: Callable[[RecordedRun], Any]) -> Section:
    # A section that fails is a line of the page, and the other sections are shown.
    try:
        return Section(key, title, list(make(run)))
    except Absent as absent:
        return Section(key, title, absent=str(absent))
    except DAMAGES as error:  # records of another version, or damaged ones
        return Section(key, title, absent=f"its records cannot be read ({type(error).__name__})")


def result(run: RecordedRun) -> Iterator[Block]:
    """How the run ended and how strong the agent is, in a few numbers."""
    yield Facts([(name, value) for name, value in result_facts(run) if value != NONE])
    if run.has_gone_on:
        yield Text("The run has gone on after the end that summary.json describes; these are its latest numbers.")


def result_facts(run: RecordedRun) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the results that two runs are compared by."""
    # The summary describes a run that has ended; of any other run the last points of its curves count.
    yield "status", str(run.summary.get("status")) if run.has_ended else "unfinished"
    yield "training", duration(run.total("seconds"))
    yield "iterations", number(run.total("iterations"))
    yield "env steps", number(run.total("env_steps"))
    yield "trained agent steps", number(run.total("trained_agent_steps"))
    seconds, steps = run.total("seconds"), run.total("env_steps")
    yield "env steps per second", number(steps / seconds, 0) if seconds and steps else NONE
    if not run.is_team:
        yield "snapshots", number(run.at_end("pool_size", "league/pool_size"))
        yield "Elo", number(run.at_end("elo", "league/elo"), 0)
    for name, score in run.anchors.items():
        value = score.get("score", score.get("agent_return"))
        yield ("return per agent" if "agent_return" in score else f"against {name}"), number(value)
    for name, value in run.exploitability.items():
        yield f"exploitability of the {name.replace('_', '-')}", number(value)
    if run.value_preserving_moves:
        yield "value-preserving moves", share(run.value_preserving_moves["share"])


def what_was_run(run: RecordedRun) -> Iterator[Block]:
    """Command, commit, machine and configuration."""
    yield Code(command(*run.overrides))
    yield Table((), list(_choices(run)))
    yield Table((), list(program_rows(run)))
    yield whole_configuration(run, "The whole configuration")


def _choices(run: RecordedRun) -> Iterator[tuple[str, str]]:
    """Yield (group, option) of the choices that matter most, and the seed."""
    for group in MAIN_CHOICES:
        if (choice := run.choices.get(group)) and not (run.is_team and group.startswith("league/")):
            yield group, choice
    if (seed := run.config.get("seed")) is not None:
        yield "seed", str(seed)


def whole_configuration(run: RecordedRun, summary: str) -> Code:
    """Return the recorded configuration as a block that opens with a click."""
    return Code(yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True), summary)


def program_rows(run: RecordedRun) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the first start, and of the program and machine of the last one."""
    if not run.starts:
        yield "program", "not recorded: the run is older than this record"
        return
    started = [str(start.get("started", NONE)) for start in run.starts]
    yield "started", started[0]
    if len(started) > 1:
        yield f"resumed {len(started) - 1} times", f"last {started[-1]}"
    yield from _program(run.starts[-1])


def _program(start: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "marl_app", " ".join(filter(None, (str(start.get("marl_app", "")), _commit(start.get("commit")))))
    if project := _commit(start.get("project_commit")):
        yield "project", project
    yield "packages", ", ".join(f"{name} {start[name]}" for name in ("python", "ray", "torch") if name in start)
    yield "machine", f"{start.get('cores', NONE)} cores, {start.get('machine', NONE)}"


def _commit(commit: Any) -> str:
    """Return a commit in short: 0123456789ab with changes."""
    # A commit ends with "+" if tracked files had changes.
    name, plus, _ = str(commit or "").partition("+")
    return f"commit {name[:COMMIT_LENGTH]}{' with changes' if plus else ''}" if name else ""


def resources(run: RecordedRun) -> Iterator[Block]:
    """Speed, memory and disk."""
    # The summary has the numbers that `auto` stood for.
    runtime = (run.config.get("runtime") or {}) | (run.summary.get("runtime") or {})
    # 1. Processes, memory and disk. Values that were not recorded are left out.
    rows = [
        *(
            (name, value if isinstance(value := runtime.get(key), str) else number(value))
            for name, key in (
                ("env runners", "num_env_runners"),
                ("learner processes", "num_learners"),
                ("matches per process", "num_envs_per_env_runner"),
            )
        ),
        ("parameters", number(run.last("policies/parameters"))),
        ("memory of the largest env runner", size(run.last("snapshots/runner_private_bytes"))),
        ("env runners restarted", number(run.last("health/env_runner_restarts"))),
        ("exceptions survived", number(run.last("health/failures"))),
        ("on disk", size(sum(run.sizes.values()))),
    ]
    largest = sorted(run.sizes.items(), key=lambda item: -item[1])[:4]
    rows += [(f"on disk: {name}", size(count)) for name, count in largest if count]
    yield Table((), [row for row in rows if row[1] != NONE])
    # 2. Speed and waiting over time.
    speed = {"env steps": "throughput/env_steps_per_s", "trained agent steps": "throughput/trained_agent_steps_per_s"}
    waits = {"waiting for env runners": "throughput/sample_wait_share", "learning": "throughput/learn_share"}
    for title, sentence, metrics, limits in (
        ("Speed", "Per second of wall-clock time.", speed, (0, None)),
        ("Where the time goes", "Shares of an iteration; with a pipeline both go on in parallel.", waits, (0, 1)),
    ):
        lines = {name: line for name, metric in metrics.items() if (line := curve(run, metric))}
        if lines:
            yield picture(title, sentence, lines, limits=limits)

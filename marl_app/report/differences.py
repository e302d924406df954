"""What differs between two runs: settings, program, results; equal ones are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from marl_app.config.command import command
from marl_app.config.flatten import flatten
from marl_app.report.blocks import Block, Code, Picture, Section, Table, Text
from marl_app.report.curves import ELO_NOTE, compared, picture
from marl_app.report.figures import COLORS
from marl_app.report.recorded_run import TEAM, RecordedRun
from marl_app.report.sections import program_rows, result_facts, whole_configuration
from marl_app.report.strength_sections import scores_over_time
from marl_app.report.words import NONE

UNLIKE = ("output_dir", "resume", "run", "trust")
"""Keys that differ between any two runs."""
MOST_CHARACTERS = 200  # of a value


def comparison(first: RecordedRun, second: RecordedRun) -> list[Section]:
    """Return the sections that compare two runs."""
    # All results, also equal ones: they are few.
    runs, names = (first, second), run_names(first, second)
    results = _table(names, *(dict(result_facts(run)) for run in runs), same=True)
    return [
        Section("run", "What differs", _differences(runs, names)),
        Section("result", "Result", [results, Text(f"Elo: {ELO_NOTE[0].lower()}{ELO_NOTE[1:]}")]),
        _curves(runs, names),
    ]


def run_names(first: RecordedRun, second: RecordedRun) -> tuple[str, str]:
    """Return the names of two runs, which are their paths if both end alike."""
    names = first.name, second.name
    return names if names[0] != names[1] else (str(first.directory), str(second.directory))


def _differences(runs: Sequence[RecordedRun], names: Sequence[str]) -> list[Block]:
    """Return the commands, and the options, settings and program that are not equal."""
    settings = _table(names, *({**_options(run), **settings_of(run)} for run in runs))
    program = _table(names, *(dict(program_rows(run)) for run in runs))
    blocks: list[Block] = [Code("\n".join(command(*run.overrides) for run in runs))]
    if settings.rows:
        blocks.append(Table(("setting", *names), settings.rows, wide=True))
    else:
        blocks.append(Text("All settings are equal."))
    if program.rows:
        blocks.append(Table(("program", *names), program.rows, wide=True))
    for name, run in zip(names, runs, strict=True):
        blocks.append(whole_configuration(run, f"The whole configuration of {name}"))
    return blocks


def _options(run: RecordedRun) -> dict[str, str]:
    """Return the chosen option of each group of marl_app."""
    return {group: option for group, option in run.choices.items() if not group.startswith("hydra")}


def settings_of(run: RecordedRun) -> dict[str, str]:
    """Return the recorded settings by dotted key, as text."""
    return {key: _shown(value) for key, value in flatten(run.config) if key.partition(".")[0] not in UNLIKE}


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."


def _table(names: Sequence[str], first: dict[str, str], second: dict[str, str], *, same: bool = False) -> Table:
    """Return the entries that differ, or with `same` all, in the order of the first and then of the second."""
    # Keys in the order of the first run, then those that only the second one has.
    rows = [(key, first.get(key, NONE), second.get(key, NONE)) for key in dict.fromkeys([*first, *second])]
    return Table(("", *names), [row for row in rows if same or row[1] != row[2]], wide=True)


def _curves(runs: Sequence[RecordedRun], names: Sequence[str]) -> Section:
    pictures = [*_evaluations(runs, names), *compared(runs, names)]
    return Section("curves", "Curves", pictures, "" if pictures else "neither run has a curve")


def _evaluations(runs: Sequence[RecordedRun], names: Sequence[str]) -> Iterator[Picture]:
    """Yield the score of both runs against each fixed opponent that both have met, over time."""
    colors = dict(zip(names, COLORS, strict=False))
    for anchor in runs[0].anchors:
        # The return of a team has no fixed limits, and is compared as a curve of training.
        if anchor in runs[1].anchors and TEAM not in (anchor, *runs[1].anchors):
            found = {name: scores_over_time(run, anchor, "score") for name, run in zip(names, runs, strict=True)}
            lines = {name: line for name, line in found.items() if line is not None}
            sentence = "Mean score with its 95 % interval; sampled actions."
            yield picture(f"Against {anchor}", sentence, lines, limits=(0, 1), colors=colors, marked=True)

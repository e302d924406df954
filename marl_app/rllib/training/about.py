"""What a run tells TensorBoard and trackers about itself: its configuration, its command and its program."""

from __future__ import annotations

import shlex
from contextlib import closing
from typing import Any

from marl_app.config.program import program_facts
from marl_app.metrics.hparams import compared_metrics, compared_values
from marl_app.players.anchors import unplayable_reason
from marl_app.rllib.run_spec import RunSpec
from marl_app.runs.choices import chosen_options, given_overrides


def run_config(spec: RunSpec) -> dict[str, Any]:
    """Return the configuration by dotted key, and the chosen options by group (league/matchmaker), without paths."""
    return compared_values(spec.hparams, chosen_options(spec.run_dir))


def run_metrics(spec: RunSpec) -> list[str]:
    """Return the four metrics that compare this run with others. Raises ValueError for an unknown anchor."""
    with closing(spec.make_env(1)) as env:
        playable = [name for name in spec.settings.evaluation.anchors if unplayable_reason(env, name) is None]
    return compared_metrics(team=len(spec.sides) == 1, anchor=playable[-1] if playable else None)


def overridden_keys(spec: RunSpec) -> set[str]:
    """Return the keys and groups that the command line sets: those in which the runs of a sweep differ."""
    return {override.partition("=")[0].lstrip("+~") for override in given_overrides(spec.run_dir)}


def start_text(spec: RunSpec) -> str:
    """Return the command, commit, versions and machine of this start of the run, as Markdown."""
    facts = {name: value for name, value in program_facts().items() if value}
    rows = "".join(f"| {name.replace('_', ' ')} | {value} |\n" for name, value in facts.items())
    table = f"| | |\n| --- | --- |\n{rows}| run directory | {spec.run_dir.name} |\n"
    overrides = given_overrides(spec.run_dir)
    if not overrides:  # of a notebook, or of the defaults
        return table
    # One argument per line, so that a card of TensorBoard shows a long command whole.
    command = " \\\n      ".join(["python -m marl_app", *map(shlex.quote, overrides)])
    return f"    {command}\n\n{table}"

"""Minutes and env steps to fixed marks of strength: our defaults, and the tutorial that people start from.

    python -m benchmarks.strength                                       # an hour of training, then 10 to 20 minutes
    python -m benchmarks.strength --minutes 5 --only connect_four,tutorial
    python -m benchmarks.strength --measure runs/strength/<time>        # train nothing: the runs of an earlier call

They train one after the other, and are measured afterwards. Method and results: docs/strength.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report import cpu_name, write_json
from benchmarks.session import RESULTS, ROOT, WIDTH, measured_commit
from benchmarks.strength_marks import Curves, marks_table
from benchmarks.strength_points import MATCHES, measure_agents, measure_tutorial, read_nash_conv
from benchmarks.tables import DocsSection, print_table, to_markdown

CONNECT_FOUR, TUTORIAL = "connect_four", "tutorial"
NAMES = (CONNECT_FOUR, "kuhn_poker", "leduc_poker", TUTORIAL)
PAGE = ROOT / "docs" / "strength.md"
VENV = ROOT / ".venv-strength"
TUTORIAL_PACKAGES = ("sb3-contrib", "stable-baselines3", "pettingzoo", "torch")
QUIET_LOAD = 0.5
"""Load average up to which the machine counts as quiet."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what was chosen, measure it, print the table and write the results."""
    options = parse(arguments)
    section = DocsSection(PAGE, "strength") if options.write_docs else None
    # 1. Train, unless an earlier call has.
    folder: Path = options.measure or train_all(options)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    # 2. Measure.
    names = [name for name in options.only if (folder / name).is_dir()]
    results = {name: measure(name, folder / name, options.points) for name in names}
    table = marks_table(results)
    print_table(table, Console() if sys.stdout.isatty() else Console(width=WIDTH))
    # 3. Write the results.
    curves = {
        name: {measure: [point._asdict() for point in points] for measure, points in found.items()}
        for name, found in results.items()
    }
    path = options.results / f"strength-{facts['time'].replace(' ', '_').replace(':', '-')}.json"
    write_json({**facts, "matches": MATCHES, "curves": curves}, path)
    print(f"written to {path}")
    if section:
        section.fill(note(facts), to_markdown(table))


def train_all(options: argparse.Namespace) -> Path:
    """Train what was chosen, one after the other; return the folder with a folder of each and `facts.json`."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    folder = ROOT / "runs" / "strength" / now.replace(" ", "_").replace(":", "-")
    facts = {
        "time": now,
        "commit": measured_commit(),
        "machine": {"cores": os.cpu_count(), "cpu": cpu_name(), "load_before": os.getloadavg()[0]},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", "ray", "numpy")},
        "tutorial_versions": tutorial_versions() if TUTORIAL in options.only else {},
        "minutes": options.minutes,
        "seed": options.seed,
    }
    write_json(facts, folder / "facts.json")
    for name in options.only:
        command = training_command(name, folder / name, options.minutes, options.points, options.seed)
        # One after the other, so that each has the whole machine.
        print(f"{name}: {options.minutes:g} minutes of training", flush=True)
        if code := subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(f"training of {name} ended with exit code {code}; measure what there is with --measure {folder}")
    return folder


def training_command(name: str, folder: Path, minutes: float, points: int, seed: int) -> list[str]:
    """Return the command that trains; it leaves everything in `folder`.

    Ours has no evaluation against anchors while training: it would take time from it, and comes afterwards.
    """
    if name == TUTORIAL:
        command = [str(python_of_tutorial()), "-m", "benchmarks.tutorial_sb3", "--folder", str(folder)]
        return [*command, "--minutes", str(minutes), "--points", str(points), "--seed", str(seed)]
    overrides = [f"env={name}", f"stop.minutes={minutes}", f"seed={seed}", "evaluation.anchors=[]"]
    experiment = "league_td" if name == CONNECT_FOUR else "league"  # as `make league` and the README
    return [sys.executable, "-m", "marl_app", f"+experiment={experiment}", *overrides, f"hydra.run.dir={folder}"]


def measure(name: str, folder: Path, points: int) -> Curves:
    """Return the curves of a run in its folder."""
    if name == CONNECT_FOUR:
        return measure_agents(folder, points)
    return measure_tutorial(folder) if name == TUTORIAL else read_nash_conv(folder)


def python_of_tutorial() -> Path:
    """Return the Python of the tutorial's venv. Raises FileNotFoundError if there is none."""
    if not (VENV / ".installed").exists():  # what `make` leaves when everything is there
        raise FileNotFoundError(f"the tutorial needs a venv of its own, {VENV.name}: `make strength` makes it")
    return VENV / "bin" / "python"


def tutorial_versions() -> dict[str, str]:
    """Return the versions of the tutorial's packages. Raises FileNotFoundError if its venv is missing."""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    command = [str(python_of_tutorial()), "-c", code, *TUTORIAL_PACKAGES]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(zip(TUTORIAL_PACKAGES, printed.split(), strict=True))


def note(facts: Mapping[str, Any]) -> str:
    """Return when, on which machine and how it was measured, for the line above the table."""
    machine = facts["machine"]
    load = machine["load_before"]
    ours, tutorial = (
        ", ".join(f"{name} {number}" for name, number in facts[versions].items())
        for versions in ("versions", "tutorial_versions")
    )
    return (
        f"{facts['time']}, commit {facts['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"{'quiet' if load <= QUIET_LOAD else 'busy'} (load average before: {load:.1f}); ours: {ours}; "
        f"tutorial: {tutorial}; {facts['minutes']:g} minutes each, seed {facts['seed']}."
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    command_line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_argument("--minutes", type=float, default=15.0, help="of training, each (default 15)")
    command_line.add_argument("--seed", type=int, default=0, help="(default 0)")
    command_line.add_argument("--only", type=parse_names, default=list(NAMES), help=f"(default {','.join(NAMES)})")
    command_line.add_argument(
        "--points", type=int, default=12, help="players to measure of each run on Connect Four, at least 2 (default 12)"
    )
    command_line.add_argument("--measure", type=Path, help="train nothing, measure what an earlier call left here")
    command_line.add_argument("--write-docs", action="store_true", help="put the table into docs/strength.md")
    command_line.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    options = command_line.parse_args(arguments)
    if options.minutes <= 0 or options.points < 2:
        command_line.error("--minutes must be positive and --points at least 2")
    if options.write_docs and len(options.only) < len(NAMES):
        command_line.error("--write-docs needs a whole run: without --only")
    if options.measure and not (options.measure / "facts.json").is_file():
        command_line.error(f"--measure {options.measure}: it has no facts.json, so it is not a folder of this command")
    if TUTORIAL in options.only and not options.measure:
        try:
            python_of_tutorial()
        except FileNotFoundError as error:
            command_line.error(f"{error}; --only {','.join(NAMES[:-1])} leaves it out")
    return options


def parse_names(text: str) -> list[str]:
    """Parse a list of what to train, in the order of NAMES."""
    chosen = text.split(",")
    if unknown := set(chosen) - set(NAMES):
        raise argparse.ArgumentTypeError(f"unknown {', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}")
    return [name for name in NAMES if name in chosen]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""Which environments of PettingZoo and OpenSpiel pass the checker: the table in docs/environments.md.

    python -m benchmarks.environments                     # all that are installed; half an hour on two cores
    python -m benchmarks.environments --seconds=60 --only=openspiel

Each environment is checked in a process of its own, with a limit of time. An environment passes, is refused with a
reason in one line, or is too slow. What ends in a traceback of another kind is a fault of ours, and is marked.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "environments.md"
FAMILIES = ("pettingzoo.butterfly", "pettingzoo.classic", "pettingzoo.sisl", "mpe2")
HEAD = """# Environments that were checked

Written by `python -m benchmarks.environments`, which runs `python -m marl_app.envs.checker` on every environment of
PettingZoo and mpe2 that is installed and on every game of OpenSpiel, {seconds} s at most each, on {cores} cores.
"""


class Checked(NamedTuple):
    """The result of one check. `outcome`: passes, refused, too slow or fault."""

    name: str
    outcome: str
    detail: str


def modules(package: str) -> Iterator[str]:
    """Yield the names of the environments in a package: its modules that end with a version."""
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.name.rpartition("_v")[2].isdigit():
            yield f"{package}.{info.name}"


def commands(only: str | None) -> Iterator[tuple[str, list[str]]]:
    """Yield (name, arguments of the checker) of every environment."""
    if only in (None, "pettingzoo"):
        for package in FAMILIES:
            for name in modules(package):
                yield name, ["pettingzoo", f"name={name}"]
    if only in (None, "openspiel"):
        pyspiel = importlib.import_module("pyspiel")
        for name in pyspiel.registered_names():
            yield f"openspiel {name}", ["openspiel", f"game={name}"]


def check(name: str, arguments: list[str], seconds: float) -> Checked:
    """Run the checker in a new process."""
    # A process of its own: a crash of a game's library ends only this check.
    command = [sys.executable, "-W", "ignore", "-m", "marl_app.envs.checker", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return Checked(name, "too slow", f"no result within {seconds:g} s")
    # 1. The checker reports a speed, or its reason in a line that begins with the kind of environment.
    if result.returncode == 0:
        speed = next(line for line in result.stdout.splitlines() if line.startswith("  speed"))
        return Checked(name, "passes", speed.split()[1] + " env steps/s")
    lines = [line for line in result.stderr.splitlines() if line.startswith(f"{arguments[0]}: ")]
    # 2. Anything else is a fault: another exit status, no such line, or a traceback.
    if result.returncode != 1 or not lines or "Traceback" in result.stderr:
        return Checked(name, "fault", (result.stderr.strip().splitlines() or ["no output"])[-1][:200])
    return Checked(name, "refused", lines[-1].partition(": ")[2][:300])


def render(results: list[Checked], seconds: float) -> str:
    """Return the page."""
    counts = Counter(result.outcome for result in results)
    lines = [HEAD.format(seconds=f"{seconds:g}", cores=os.cpu_count())]
    lines.append(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) + ".\n")
    lines.append("| environment | result | |\n| --- | --- | --- |")
    for result in results:
        lines.append(f"| {result.name} | {result.outcome} | {result.detail.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Check all environments, two at a time, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="limit for each environment")
    parser.add_argument("--only", choices=("pettingzoo", "openspiel"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    # Threads only wait: each check is a process.
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(check, name, arguments, options.seconds) for name, arguments in commands(options.only)]
        results = []
        for future in waiting:
            results.append(future.result())
            print(*results[-1], sep="\t", flush=True)
    if options.only is None:
        PAGE.write_text(render(results, options.seconds), encoding="utf-8")


if __name__ == "__main__":
    main()

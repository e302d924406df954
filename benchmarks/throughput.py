"""How fast it trains, side by side: RLlib's own PPO, the app, and a bare loop, in turns, in one run.

    python -m benchmarks.throughput                    # all contestants, 4 epochs, 5 rounds
    python -m benchmarks.throughput --epochs 1
    python -m benchmarks.throughput --contestants self_play,bare --rounds 3 --seconds 4
    python -m benchmarks.throughput --search           # the best way for RLlib's own PPO to sample

Method and results: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.contestant import Rates
from benchmarks.lineup import LINEUP
from benchmarks.report import LEARNING, SAMPLING, Rounds, summary, write_json
from benchmarks.search import search
from benchmarks.settings import QUICK, Settings
from benchmarks.tables import Place, circumstances, markdown, rates, ratios, show
from benchmarks.worker import Worker

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "benchmarks.md"
WIDTH = 140
"""Of the tables where there is no terminal."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options = parse(arguments)
    chosen = {name: getattr(options, name) for name in ("epochs", "minibatch_rows") if getattr(options, name)}
    settings = replace(QUICK if options.quick else Settings(), **chosen)
    rounds, seconds = (1, 0.1) if options.quick else (options.rounds, options.seconds)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    place = Place(DOCS, "search" if options.search else f"epochs={settings.epochs}") if options.write_docs else None
    facts = {"time": time.strftime("%Y-%m-%d %H:%M:%S"), "commit": commit(), "rounds": rounds, "seconds": seconds}
    load = os.getloadavg()[0]
    if options.search:
        tables = [search(settings, rounds, seconds, console)]
        result = facts | summary({}, settings, load) | {"search": tables[0]}
    else:
        measured = run(options.contestants, settings, rounds, seconds, console)
        result = facts | summary(measured, settings, load)
        tables = [rates(result), ratios(result)]
    for table in tables:
        show(table, console)
    path = options.results / f"{facts['time'].replace(' ', '_').replace(':', '-')}.json"
    write_json(result, path)
    console.print(f"written to {path}")
    if place:
        place.fill(circumstances(result), *(markdown(table) for table in tables))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="passes over each batch (default 4)")
    parser.add_argument("--minibatch-rows", type=int, help="agent steps per gradient step (default 4096)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds per contestant, mode and round (default 8)")
    parser.add_argument("--contestants", type=names, default=list(LINEUP), help=f"some of {','.join(LINEUP)}")
    parser.add_argument("--quick", action="store_true", help="a smoke run: tiny batches, one short round")
    parser.add_argument("--search", action="store_true", help="search RLlib's best way to sample, and nothing else")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="where the JSON goes (default benchmarks/results)"
    )
    options = parser.parse_args(arguments)
    if options.write_docs and (options.quick or options.minibatch_rows or options.contestants != list(LINEUP)):
        parser.error("--write-docs needs a whole run: without --quick, --minibatch-rows and --contestants")
    return options


def names(text: str) -> list[str]:
    """Contestants, in the order of the line-up."""
    chosen = text.split(",")
    if unknown := set(chosen) - LINEUP.keys():
        raise argparse.ArgumentTypeError(f"no contestant {', '.join(sorted(unknown))}; choose from {', '.join(LINEUP)}")
    return [name for name in LINEUP if name in chosen]


def run(contestants: Sequence[str], settings: Settings, rounds: int, seconds: float, console: Console) -> Rounds:
    """All contestants in turns: first everybody warms up, then round by round."""
    measured: dict[str, dict[str, list[Rates]]] = {name: {SAMPLING: [], LEARNING: []} for name in contestants}
    with tempfile.TemporaryDirectory(prefix="benchmark") as logs, ExitStack() as opened:
        workers: dict[str, Worker] = {}
        for name in contestants:
            console.print(f"starting {LINEUP[name].label}")
            workers[name] = opened.enter_context(Worker(name, settings, Path(logs) / f"{name}.log"))
            for learn in (True, False):
                workers[name].measure(learn, 0.0)
        for number in range(rounds):
            for mode in (SAMPLING, LEARNING):
                for name, worker in workers.items():
                    rates = worker.measure(mode == LEARNING, seconds)
                    measured[name][mode].append(rates)
                    console.print(
                        f"round {number + 1}/{rounds}  {mode:8}  {name:10}  "
                        f"{rates.trained_agent_steps_per_s:>9,.0f} trained agent steps/s  "
                        f"{rates.env_steps_per_s:>9,.0f} env steps/s"
                    )
    return measured


def commit() -> str:
    """The commit that was measured, with a plus if files were changed since; "unknown" outside of git."""
    git: dict[str, Any] = {"cwd": ROOT, "capture_output": True, "text": True}
    try:
        name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, **git).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], check=True, **git).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}+" if changed else name


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""The common part of the benchmark commands: shared options, and the output of results."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report import write_json
from benchmarks.tables import DocsSection, Rows, measurement_note, print_table, to_markdown

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "benchmarks.md"
WIDTH = 140
"""Width of the tables without a terminal."""


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="passes over each batch (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds per contestant, mode and round (default 8)")
    parser.add_argument("--quick", action="store_true", help="a smoke run: tiny batches, one short round")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="where the JSON goes (default benchmarks/results)"
    )
    return parser


class BenchmarkSession:
    """A run of a benchmark command. `section`: the section of docs/benchmarks.md that `--write-docs` fills."""

    def __init__(self, options: argparse.Namespace, section: str) -> None:
        self.console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
        # A smoke run is one short round, whatever the options say.
        self.rounds: int = 1 if options.quick else options.rounds
        self.seconds: float = 0.1 if options.quick else options.seconds
        self.load = os.getloadavg()[0]
        self._facts = {
            "time": time.strftime("%Y-%m-%d %H:%M:%S"),
            "commit": measured_commit(),
            "rounds": self.rounds,
            "seconds": self.seconds,
        }
        self._section = DocsSection(DOCS, section) if options.write_docs else None
        self._results: Path = options.results

    def finish(self, result: Mapping[str, Any], tables: Sequence[Rows]) -> None:
        """Print the tables, write the result as JSON, and with `--write-docs` fill the section of the page."""
        result = {**self._facts, **result}
        for table in tables:
            print_table(table, self.console)
        path = self._results / f"{result['time'].replace(' ', '_').replace(':', '-')}.json"
        write_json(result, path)
        self.console.print(f"written to {path}")
        if self._section:
            self._section.fill(measurement_note(result), *(to_markdown(table) for table in tables))


def measured_commit() -> str:
    """Return the current commit, with a plus if tracked files have changes; "unknown" outside of git."""
    git: dict[str, Any] = {"cwd": ROOT, "capture_output": True, "text": True}
    try:
        name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, **git).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], check=True, **git).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}+" if changed else name

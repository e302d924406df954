"""A session at the command line: the options that every benchmark has, and where its results go."""

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
"""Of the tables where there is no terminal."""


def make_parser(description: str) -> argparse.ArgumentParser:
    """A command line with the options that all have."""
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
    """One run. `place`: the part of docs/benchmarks.md that `--write-docs` fills."""

    def __init__(self, options: argparse.Namespace, place: str) -> None:
        self.console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
        self.rounds, self.seconds = (1, 0.1) if options.quick else (options.rounds, options.seconds)
        self.load = os.getloadavg()[0]
        self._facts = {
            "time": time.strftime("%Y-%m-%d %H:%M:%S"),
            "commit": measured_commit(),
            "rounds": self.rounds,
            "seconds": self.seconds,
        }
        self._place = DocsSection(DOCS, place) if options.write_docs else None
        self._results: Path = options.results

    def finish(self, result: Mapping[str, Any], tables: Sequence[Rows]) -> None:
        """Print the tables, write the result, and where it was asked for, the page."""
        result = self._facts | result
        for table in tables:
            print_table(table, self.console)
        path = self._results / f"{result['time'].replace(' ', '_').replace(':', '-')}.json"
        write_json(result, path)
        self.console.print(f"written to {path}")
        if self._place:
            self._place.fill(measurement_note(result), *(to_markdown(table) for table in tables))


def measured_commit() -> str:
    """The commit that was measured, with a plus if files were changed since; "unknown" outside of git."""
    git: dict[str, Any] = {"cwd": ROOT, "capture_output": True, "text": True}
    try:
        name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, **git).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], check=True, **git).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}+" if changed else name

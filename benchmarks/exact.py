"""NashConv of self-play schemes in games where it is exact, with and without a magnet: docs/exact.md.

    python -m benchmarks.exact                                           # 200 runs: about ten hours on two cores
    python -m benchmarks.exact --games kuhn_poker --seeds 1,2 --env-steps 500_000
    python -m benchmarks.exact --page                                    # only write the page, from what has finished

Each run is a process of its own. Runs that have finished are skipped, so the benchmark can be stopped (Ctrl-C) and
started again with the same arguments; the runs that were in progress begin again. Whenever it ends, it writes the page
from all runs that have finished.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.exact_cases import GAMES, MAGNETS, SCHEMES, Case
from benchmarks.exact_page import write_page
from benchmarks.exact_runs import OtherSettingsError, clear, missing_runs
from benchmarks.run_queue import LOG, ROOT, TrainingRun, run_all
from marl_app.runs.lock import RunInUseError, run_lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, and write the page; return the exit status: 1 if a run has failed."""
    options = parse(arguments)
    failed: list[TrainingRun] = []
    if not options.page:
        cases = [
            Case(game, scheme, magnet) for game in options.games for scheme in options.schemes for magnet in MAGNETS
        ]
        with run_lock(options.directory):  # a second benchmark would start the same runs
            runs = missing_runs(options.directory, cases, options.seeds, options.env_steps)
            print(
                f"{len(cases) * len(options.seeds) - len(runs)} runs have finished, {len(runs)} are missing", flush=True
            )
            for run in runs:
                clear(run)
            try:
                failed = train(runs, options.parallel)
            finally:
                report(options.directory, options.docs)
    else:
        report(options.directory, options.docs)
    for run in failed:
        print(f"failed: {run.directory / LOG}")
    return int(bool(failed))


def train(runs: Sequence[TrainingRun], parallel: int) -> list[TrainingRun]:
    """Train all runs and print a line for each; return those that failed."""
    failed, began = [], time.monotonic()
    # Runs in the order in which they end. The time that is left assumes that all take the same time.
    for number, (run, status) in enumerate(run_all(runs, parallel), 1):
        elapsed = time.monotonic() - began
        left = elapsed / number * (len(runs) - number) / 3600
        name = "/".join(run.directory.parts[-3:])
        outcome = "finished" if status == 0 else f"failed (exit status {status}): {run.directory / LOG}"
        print(f"{number} of {len(runs)}, {elapsed / 3600:.1f} h, {left:.1f} h left: {name} {outcome}", flush=True)
        if status:
            failed.append(run)
    return failed


def report(directory: Path, docs: Path) -> None:
    """Write the page and print which games it has."""
    games = write_page(directory, docs)
    print(f"{docs / 'exact.md'}: {', '.join(games) or 'no finished runs'}", flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--games", type=_choice(tuple(GAMES)), default=list(GAMES), help=", ".join(GAMES))
    parser.add_argument("--schemes", type=_choice(SCHEMES), default=list(SCHEMES), help=", ".join(SCHEMES))
    parser.add_argument("--seeds", type=_integers, default=[1, 2, 3, 4, 5], help="(default 1,2,3,4,5)")
    parser.add_argument("--env-steps", type=int, default=2_000_000, help="of each run (default 2_000_000)")
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time, one core each (default 2)")
    parser.add_argument("--directory", type=Path, default=Path("runs/exact"), help="of the runs (default runs/exact)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of exact.md and pictures/")
    parser.add_argument("--page", action="store_true", help="write the page from finished runs, and train nothing")
    options = parser.parse_args(arguments)
    if min(options.env_steps, options.parallel) < 1:
        parser.error("--env-steps and --parallel must be at least 1")
    return options


def _choice(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a parser of a list of these names."""

    def parse_names(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        if not set(names) <= set(allowed):
            raise argparse.ArgumentTypeError(f"unknown name in {text!r}: choose from {', '.join(allowed)}")
        return names

    return parse_names


def _integers(text: str) -> list[int]:
    try:
        return sorted({int(number) for number in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be integers separated by commas") from None


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # all of them end the runs in progress
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (OtherSettingsError, RunInUseError) as error:
        sys.exit(str(error))

"""Training speed by number of env runners and of agents: the app on Simple Spread, IPPO and MAPPO, in turns.

    python -m benchmarks.scaling                                    # 1, 2, 4 env runners; 3, 6, 12 agents
    python -m benchmarks.scaling --algorithms ippo --agents 3       # env runners only

Method and results: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks.game import ENV, TRAINED, LineupEntry
from benchmarks.games.simple_spread import CRITICS
from benchmarks.report import LEARNING, SAMPLING, summarize
from benchmarks.session import BenchmarkSession, make_parser
from benchmarks.settings import settings_for
from benchmarks.tables import FIGURES, MODES, Rows, median_and_range
from benchmarks.turns import measure_in_turns
from marl_app.config.machine import available_cores
from marl_app.envs.simple_spread import SimpleSpread

MATCHES, ROWS = 256, 8192
"""Matches of each env runner, and env steps of a batch; with 12 agents a batch has 98,304 rows."""
COLUMNS = [(SAMPLING, ENV), (LEARNING, ENV), (LEARNING, TRAINED), (LEARNING, "cores")]
FACTS = {
    "rows_per_env_step": "rows per env step",
    "rows_per_update": "rows per update",
    "parameters": "parameters",
    "broadcast_bytes": "bytes broadcast per update",
}
VARIED = ("algorithms", "env_runners", "agents")


class Variant(NamedTuple):
    """One measured configuration of the app."""

    algorithm: str
    env_runners: int
    agents: int

    @property
    def entry(self) -> LineupEntry:
        """The app with the overrides that a user would give; `runtime.num_cpus` allows more env runners than cores."""
        overrides = [*CRITICS[self.algorithm], f"runtime.num_env_runners={self.env_runners}", f"env.N={self.agents}"]
        if self.env_runners > available_cores():
            overrides.append(f"runtime.num_cpus={self.env_runners}")
        label = f"{self.algorithm.upper()}, {self.env_runners} env runner{'s' * (self.env_runners != 1)}"
        return LineupEntry(f"{label}, {self.agents} agents", overrides=tuple(overrides))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the variants of each algorithm in turns, algorithm by algorithm; print and write the results."""
    options = parse(arguments)
    settings = settings_for("simple_spread", options.quick)
    if not options.quick:
        settings = replace(settings, matches=MATCHES, rows=ROWS)
    if options.epochs:
        settings = replace(settings, epochs=options.epochs)
    session = BenchmarkSession(options, "scaling")
    result: dict[str, Any] = {}
    for algorithm in options.algorithms:
        # One set of variants is alive at a time: those of one algorithm, measured in turns.
        variants = {
            variant.entry.label: variant for variant in make_variants(algorithm, options.env_runners, options.agents)
        }
        entries = {name: variant.entry for name, variant in variants.items()}
        measured, facts = measure_in_turns(entries, settings, session.rounds, session.seconds, session.console)
        # Machine, versions and settings are the same for all algorithms; the contestants are collected.
        part = summarize(entries, measured, facts, settings, session.load)
        for name, variant in variants.items():
            part["contestants"][name]["variant"] = variant._asdict() | input_sizes(variant.agents)
        result = part | {"contestants": result.get("contestants", {}) | part["contestants"]}
    session.finish(result, [table(result)])


def make_variants(algorithm: str, env_runners: Sequence[int], agents: Sequence[int]) -> list[Variant]:
    """Return variants: env runners varied with the fewest agents, then agents with the fewest env runners."""
    return [Variant(algorithm, number, min(agents)) for number in env_runners] + [
        Variant(algorithm, min(env_runners), number) for number in agents if number > min(agents)
    ]


def input_sizes(agents: int) -> dict[str, int]:
    """Return the number of inputs of policy (`observation`) and centralized critic (`state`) for `agents` agents."""
    env = SimpleSpread(1, N=agents)
    assert env.state_space is not None
    return {"observation": env.groups[0].observation_space.shape[0], "state": env.state_space.shape[0]}


def table(result: Mapping[str, Any]) -> Rows:
    """Return the table with a row per variant."""
    header = ["variant", *(f"{MODES[mode]}: {FIGURES[figure]}" for mode, figure in COLUMNS), "critic sees"]
    rows = [[*header, *FACTS.values()]]
    for entry in result["contestants"].values():
        figures = [median_and_range(entry[mode][figure], 2 * (figure == "cores")) for mode, figure in COLUMNS]
        # MAPPO's critic sees the state, IPPO's the observation of its agent.
        seen = entry["variant"]["state" if entry["variant"]["algorithm"] == "mappo" else "observation"]
        facts = [f"{entry['facts'][fact]:,.0f}" for fact in FACTS]
        rows.append([entry["label"], *figures, f"{seen} numbers", *facts])
    return rows


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    command_line = make_parser(__doc__)
    command_line.add_argument("--algorithms", type=parse_algorithms, default=list(CRITICS), help="(default ippo,mappo)")
    command_line.add_argument("--env-runners", type=parse_numbers, default=[1, 2, 4], help="(default 1,2,4)")
    command_line.add_argument("--agents", type=parse_numbers, default=[3, 6, 12], help="(default 3,6,12)")
    options = command_line.parse_args(arguments)
    # The page shows the whole table, so only a run of all variants may write it.
    whole = all(getattr(options, name) == command_line.get_default(name) for name in VARIED)
    if options.write_docs and (options.quick or options.epochs or not whole):
        command_line.error("--write-docs needs a whole run: only --rounds and --seconds may be given with it")
    return options


def parse_algorithms(text: str) -> list[str]:
    """Parse a list of algorithms, keys of CRITICS."""
    chosen = text.split(",")
    if not set(chosen) <= CRITICS.keys():
        raise argparse.ArgumentTypeError(f"unknown algorithm in {text!r}: choose from {', '.join(CRITICS)}")
    return chosen


def parse_numbers(text: str) -> list[int]:
    """Parse integers separated by commas, sorted in ascending order."""
    try:
        return sorted({int(number) for number in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be integers separated by commas") from None


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

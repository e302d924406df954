"""How training speed changes with env runners and with agents: the app on Simple Spread, IPPO and MAPPO, in turns.

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

from benchmarks.game import ENV, TRAINED, Entry
from benchmarks.games.simple_spread import CRITICS
from benchmarks.report import LEARNING, SAMPLING, summary
from benchmarks.session import Session, parser
from benchmarks.settings import sized
from benchmarks.tables import FIGURES, MODES, Rows, spread
from benchmarks.turns import take_turns
from marl_app.config.schema import available_cores
from marl_app.envs.simple_spread import SimpleSpread

MATCHES, ROWS = 256, 8192
"""Matches of each env runner, and env steps of a batch; with 12 agents these are 98,304 rows."""
COLUMNS = [(SAMPLING, ENV), (LEARNING, ENV), (LEARNING, TRAINED), (LEARNING, "cores")]
FACTS = {
    "rows_per_env_step": "rows per env step",
    "rows_per_update": "rows per update",
    "parameters": "parameters",
    "broadcast_bytes": "bytes broadcast per update",
}
VARIED = ("algorithms", "env_runners", "agents")


class Variant(NamedTuple):
    """What is varied."""

    algorithm: str
    env_runners: int
    agents: int

    @property
    def entry(self) -> Entry:
        """The app with the overrides that a user would give: more env runners than cores have to be admitted."""
        overrides = [*CRITICS[self.algorithm], f"runtime.num_env_runners={self.env_runners}", f"env.N={self.agents}"]
        if self.env_runners > available_cores():
            overrides.append(f"runtime.num_cpus={self.env_runners}")
        label = f"{self.algorithm.upper()}, {self.env_runners} env runner{'s' * (self.env_runners != 1)}"
        return Entry(f"{label}, {self.agents} agents", overrides=tuple(overrides))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the variants of one algorithm in turns, then those of the next; print, write."""
    options = parse(arguments)
    settings = sized("simple_spread", options.quick)
    if not options.quick:
        settings = replace(settings, matches=MATCHES, rows=ROWS)
    if options.epochs:
        settings = replace(settings, epochs=options.epochs)
    session = Session(options, "scaling")
    result: dict[str, Any] = {}
    for algorithm in options.algorithms:
        variants = {variant.entry.label: variant for variant in varied(algorithm, options.env_runners, options.agents)}
        entries = {name: variant.entry for name, variant in variants.items()}
        measured, facts = take_turns(entries, settings, session.rounds, session.seconds, session.console)
        part = summary(entries, measured, facts, settings, session.load)
        for name, variant in variants.items():
            part["contestants"][name]["variant"] = variant._asdict() | sizes(variant.agents)
        result = part | {"contestants": result.get("contestants", {}) | part["contestants"]}
    session.finish(result, [table(result)])


def varied(algorithm: str, env_runners: Sequence[int], agents: Sequence[int]) -> list[Variant]:
    """Env runners with the fewest agents, then agents with the fewest env runners."""
    return [Variant(algorithm, number, min(agents)) for number in env_runners] + [
        Variant(algorithm, min(env_runners), number) for number in agents if number > min(agents)
    ]


def sizes(agents: int) -> dict[str, int]:
    """What the networks see, in numbers: it grows with the agents in this game."""
    env = SimpleSpread(1, N=agents)
    return {"observation": env.groups[0].observation_space.shape[0], "state": env.state_space.shape[0]}


def table(result: Mapping[str, Any]) -> Rows:
    """One variant a row."""
    header = ["variant", *(f"{MODES[mode]}: {FIGURES[figure]}" for mode, figure in COLUMNS), "critic sees"]
    rows = [[*header, *FACTS.values()]]
    for entry in result["contestants"].values():
        figures = [spread(entry[mode][figure], 2 * (figure == "cores")) for mode, figure in COLUMNS]
        seen = entry["variant"]["state" if entry["variant"]["algorithm"] == "mappo" else "observation"]
        facts = [f"{entry['facts'][fact]:,.0f}" for fact in FACTS]
        rows.append([entry["label"], *figures, f"{seen} numbers", *facts])
    return rows


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    options_of = parser(__doc__)
    options_of.add_argument("--algorithms", type=algorithms, default=list(CRITICS), help="(default ippo,mappo)")
    options_of.add_argument("--env-runners", type=numbers, default=[1, 2, 4], help="(default 1,2,4)")
    options_of.add_argument("--agents", type=numbers, default=[3, 6, 12], help="(default 3,6,12)")
    options = options_of.parse_args(arguments)
    whole = all(getattr(options, name) == options_of.get_default(name) for name in VARIED)
    if options.write_docs and (options.quick or options.epochs or not whole):
        options_of.error("--write-docs needs a whole run: only --rounds and --seconds may be given with it")
    return options


def algorithms(text: str) -> list[str]:
    """Some of CRITICS."""
    chosen = text.split(",")
    if not set(chosen) <= CRITICS.keys():
        raise argparse.ArgumentTypeError(f"choose from {', '.join(CRITICS)}")
    return chosen


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them, the smallest first."""
    try:
        return sorted({int(number) for number in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError("give whole numbers with commas between them") from None


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

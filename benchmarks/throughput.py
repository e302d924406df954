"""Training speed of RLlib's own PPO, the app and a bare loop, measured in turns in the same run.

    python -m benchmarks.throughput                         # all contestants, 4 epochs, 5 rounds
    python -m benchmarks.throughput --game simple_spread
    python -m benchmarks.throughput --epochs 1
    python -m benchmarks.throughput --contestants self_play,bare --rounds 3 --seconds 4
    python -m benchmarks.throughput --search                # the best way for RLlib's own PPO to sample

Method and results: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.games import GAMES
from benchmarks.report import summarize
from benchmarks.search import search
from benchmarks.session import BenchmarkSession, make_parser
from benchmarks.settings import settings_for
from benchmarks.tables import rates_table, ratios_table
from benchmarks.turns import measure_in_turns


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the contestants, or search RLlib's sampling settings; print and write the results."""
    options = parse(arguments)
    game = GAMES[options.game]
    # Options that were given replace the settings of the game.
    chosen = {name: getattr(options, name) for name in ("epochs", "minibatch_rows") if getattr(options, name)}
    settings = replace(settings_for(game.name, options.quick), **chosen)
    section = "search" if options.search else f"epochs={settings.epochs}"
    session = BenchmarkSession(options, section if game.name == "connect_four" else f"{game.name} {section}")
    pace = (session.rounds, session.seconds, session.console)
    # The search measures RLlib's PPO only; its table is the result.
    if options.search:
        found = search(settings, *pace)
        session.finish(summarize({}, {}, {}, settings, session.load) | {"search": found}, [found])
    else:
        entries = {name: game.lineup[name] for name in options.contestants}
        measured, facts = measure_in_turns(entries, settings, *pace)
        result = summarize(entries, measured, facts, settings, session.load)
        session.finish(result, [rates_table(result), ratios_table(result)])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; `contestants` are in the order of the line-up."""
    command_line = make_parser(__doc__)
    command_line.add_argument("--game", choices=list(GAMES), default="connect_four", help="(default connect_four)")
    command_line.add_argument("--minibatch-rows", type=int, help="agent steps per gradient step (default 4096)")
    lineups = "; ".join(f"{name}: {','.join(game.lineup)}" for name, game in GAMES.items())
    command_line.add_argument("--contestants", help=f"contestants of the game, separated by commas ({lineups})")
    command_line.add_argument(
        "--search", action="store_true", help="only search the best sampling settings of RLlib's PPO"
    )
    options = command_line.parse_args(arguments)
    if options.write_docs and (options.quick or options.minibatch_rows or options.contestants):
        command_line.error("--write-docs needs a whole run: without --quick, --minibatch-rows and --contestants")
    lineup = GAMES[options.game].lineup
    wanted = set(options.contestants.split(",")) if options.contestants else set(lineup)
    if unknown := wanted - lineup.keys():
        command_line.error(f"unknown contestant {', '.join(sorted(unknown))}; choose from {', '.join(lineup)}")
    options.contestants = [name for name in lineup if name in wanted]
    return options


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""Training speed with learner and forward passes on CPU and GPU, and a league on the GPU, in one call.

    python -m benchmarks.gpu                              # all of it: under eight minutes with one GPU
    python -m benchmarks.gpu --networks 2x512 --minutes 0 # one network, no league
    python -m benchmarks.gpu --quick                      # a smoke run; its numbers are meaningless

Without a GPU the rows of the GPU say so. Method and results: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.game import ENV, TRAINED, LineupEntry
from benchmarks.report import LEARNING, SAMPLING, Facts, Rounds, summarize
from benchmarks.session import ROOT, BenchmarkSession, make_parser
from benchmarks.settings import Settings, settings_for
from benchmarks.tables import FIGURES, MODES, Rows, median_and_range
from benchmarks.turns import measure_in_turns
from marl_app.config.machine import available_cores, available_gpus

NETWORKS: dict[str, dict[str, Any]] = {
    "2x64": {"hidden": (64, 64)},
    "2x512": {"hidden": (512, 512), "precision": "auto"},
    "cnn": {"model": "cnn", "hidden": (128,), "precision": "auto"},
}
"""Settings of each network. `auto` is bfloat16 where the hardware supports it."""
GPU_SHARE = 0.1
"""GPUs that Ray reserves for an env runner with its forward passes on the GPU: at most ten share one."""
COLUMNS = [(SAMPLING, ENV), (LEARNING, ENV), (LEARNING, TRAINED), (LEARNING, "cores")]
NO_GPU = "no GPU"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the variants of each network in turns, then the league; print and write the results."""
    options = parse(arguments)
    session = BenchmarkSession(options, "gpu")
    gpu = gpu_name()
    result: dict[str, Any] = {}
    variants = make_variants(available_cores(), gpu is not None)
    for network in options.networks:
        settings = replace(settings_for("connect_four", options.quick), **NETWORKS[network])
        if options.epochs:
            settings = replace(settings, epochs=options.epochs)
        part = _measure(network, variants, settings, session)
        result = part | {"contestants": result.get("contestants", {}) | part["contestants"]}
    result["machine"] |= {"gpu": gpu}
    tables = [table(result, options.networks, make_variants(available_cores(), gpus=True))]
    if options.minutes:
        result["league"] = league(options.minutes, gpu is not None, quick=options.quick)
        tables.append(league_table(result["league"]))
    session.console.print(f"GPU: {gpu or NO_GPU}")
    session.finish(result, tables)


def make_variants(cores: int, gpus: bool) -> dict[str, LineupEntry]:
    """Return the variants for a machine with so many cores, with or without a GPU."""
    # One core is the learner's, or the driver's; with two learners on a GPU each has as many env runners.
    others = max(1, cores - 1)
    one_learner = "runtime.num_learners=1"
    on_cpu = (one_learner, "runtime.num_gpus_per_learner=0", f"runtime.num_env_runners={others}")
    found = {"cpu": LineupEntry("learner and forward passes on the CPU", overrides=on_cpu)}
    if gpus:
        on_gpu = (one_learner, "runtime.num_gpus_per_learner=1", f"runtime.num_env_runners={others}")
        # What the learner leaves of the GPU is shared by the env runners.
        runners = max(1, min(others, round(0.5 / GPU_SHARE)))
        all_on_gpu = (one_learner, "runtime.num_gpus_per_learner=0.5", f"runtime.num_gpus_per_env_runner={GPU_SHARE}")
        two = ("runtime.num_learners=2", "runtime.num_gpus_per_learner=0.5")
        found |= {
            "gpu": LineupEntry("learner on the GPU, forward passes on the CPU", overrides=on_gpu),
            "all_on_gpu": LineupEntry(
                f"learner and forward passes on the GPU, {runners} env runner{'s' * (runners > 1)}",
                overrides=(*all_on_gpu, f"runtime.num_env_runners={runners}"),
            ),
            "two_learners": LineupEntry(
                "two learners on one GPU, forward passes on the CPU",
                overrides=(*two, f"runtime.num_env_runners={max(2, others // 2 * 2)}"),
            ),
        }
    return found


def shared_overrides(settings: Settings) -> tuple[str, ...]:
    """Return the overrides of all variants: as many matches in all, and more processes than cores are allowed."""
    matches = min(8192, settings.rows)
    cpus = f"runtime.num_cpus={available_cores() + 4}"
    return f"runtime.num_matches={matches}", "runtime.num_envs_per_env_runner=auto", cpus


def _measure(
    network: str, variants: Mapping[str, LineupEntry], settings: Settings, session: BenchmarkSession
) -> dict[str, Any]:
    """Measure the variants with one network, and return the result with contestants named `network variant`."""
    entries = {
        f"{network} {name}": entry._replace(
            label=f"{network}: {entry.label}", overrides=(*entry.overrides, *shared_overrides(settings))
        )
        for name, entry in variants.items()
    }
    measured: Rounds = {}
    facts: Facts = {}
    # One after the other: processes of others would hold memory of the GPU.
    for name, entry in entries.items():
        rates, sizes = measure_in_turns({name: entry}, settings, session.rounds, session.seconds, session.console)
        measured, facts = {**measured, **rates}, {**facts, **sizes}
    return summarize(entries, measured, facts, settings, session.load)


def league(minutes: float, on_gpu: bool, *, quick: bool) -> dict[str, Any]:
    """Train the default league of Connect Four for some minutes, and return its summary."""
    runtime = "gpu" if on_gpu else "local"
    overrides = [f"runtime={runtime}", f"stop.minutes={minutes}", "evaluation.every_iterations=null"]
    if quick:
        overrides += ["+debug=smoke", "stop.minutes=null"]
    with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
        command = [sys.executable, "-m", "marl_app", "+experiment=league", *overrides, f"hydra.run.dir={folder}"]
        subprocess.run(command, cwd=ROOT, check=True)
        found: dict[str, Any] = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))
        return found


def gpu_name() -> str | None:
    """Return the name of the first GPU that torch can use, or None."""
    if not available_gpus():
        return None
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def table(result: Mapping[str, Any], networks: Sequence[str], variants: Mapping[str, LineupEntry]) -> Rows:
    """Return the table with a row per network and variant."""
    rows = [["network", "variant", *(f"{MODES[mode]}: {FIGURES[figure]}" for mode, figure in COLUMNS)]]
    for network in networks:
        for name, variant in variants.items():
            entry = result["contestants"].get(f"{network} {name}")
            figures = (
                [median_and_range(entry[mode][figure], 2 * (figure == "cores")) for mode, figure in COLUMNS]
                if entry
                else [NO_GPU] * len(COLUMNS)
            )
            rows.append([network, variant.label, *figures])
    return rows


def league_table(summary: Mapping[str, Any]) -> Rows:
    """Return the table of the league: its speed, and its strength in the end."""
    anchors = {name: f"{found['score']:.3f}" for name, found in summary["anchors"].items()}
    return [
        [
            "the default league",
            "env steps",
            "env steps/s",
            "trained agent steps/s",
            *(f"against {name}" for name in anchors),
        ],
        [
            ", ".join(f"{name} {number}" for name, number in summary["runtime"].items()),
            f"{summary['env_steps']:,}",
            f"{summary['env_steps_per_s']:,.0f}",
            f"{summary['trained_agent_steps_per_s']:,.0f}",
            *anchors.values(),
        ],
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    command_line = make_parser(__doc__)
    command_line.set_defaults(rounds=1, seconds=3.0)
    command_line.add_argument(
        "--networks", type=parse_networks, default=list(NETWORKS), help=f"(default {','.join(NETWORKS)})"
    )
    command_line.add_argument("--minutes", type=float, default=5.0, help="of the league; 0 = none (default 5)")
    options = command_line.parse_args(arguments)
    if options.write_docs and (options.quick or options.epochs or options.networks != list(NETWORKS)):
        command_line.error("--write-docs needs a whole run: without --quick, --epochs and --networks")
    return options


def parse_networks(text: str) -> list[str]:
    """Parse a list of networks, keys of NETWORKS."""
    chosen = text.split(",")
    if not set(chosen) <= NETWORKS.keys():
        raise argparse.ArgumentTypeError(f"unknown network in {text!r}: choose from {', '.join(NETWORKS)}")
    return chosen


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

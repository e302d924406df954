"""The result of a benchmark as a value of JSON types: figures of every round, ratios, machine and settings."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contestant import Rates
from benchmarks.game import LineupEntry, Ratio
from benchmarks.games import GAMES
from benchmarks.settings import Settings

SAMPLING, LEARNING, LEARNING_PER_CORE = "sampling", "learning", "learning_per_core"

Rounds = Mapping[str, Mapping[str, Sequence[Rates]]]
"""Name of a contestant -> mode (SAMPLING, LEARNING) -> rates of each round."""


Facts = Mapping[str, Mapping[str, float]]
"""Name of a contestant -> `BenchmarkContestant.facts`."""


def summarize(
    entries: Mapping[str, LineupEntry], rounds: Rounds, facts: Facts, settings: Settings, load_before: float
) -> dict[str, Any]:
    """Return everything that was measured; `load_before` is the load average of the machine at the start."""
    # Name -> label, facts, and the figures of each mode by round.
    contestants = {
        name: {"label": entries[name].label, "facts": dict(facts[name])}
        | {mode: values_by_figure(rates) for mode, rates in modes.items()}
        for name, modes in rounds.items()
    }
    return {
        "machine": {"cores": os.cpu_count(), "cpu": cpu_name(), "load_before": load_before},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", "ray", "numpy")},
        "settings": asdict(settings),
        "contestants": contestants,
        "ratios": [
            # Ratios whose two contestants were measured.
            ratio._asdict() | ratios_per_round(ratio, contestants[ratio.above], contestants[ratio.below])
            for ratio in GAMES[settings.game].ratios
            if {ratio.above, ratio.below} <= contestants.keys()
        ],
    }


def values_by_figure(rates: Sequence[Rates]) -> dict[str, list[float]]:
    """Return figure -> its value in each round."""
    return {figure: [getattr(rate, figure) for rate in rates] for figure in Rates._fields}


def ratios_per_round(ratio: Ratio, above: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the ratio of each round by mode. Within a round, other load of the machine affects both contestants alike.

    LEARNING_PER_CORE: the ratio of the figures per used core, while learning.
    """
    ratios = {
        mode: [a / b for a, b in zip(above[mode][ratio.figure], below[mode][ratio.figure], strict=True)]
        for mode in (SAMPLING, LEARNING)
    }
    # (a / cores of a) / (b / cores of b) = a / b * cores of b / cores of a, round by round.
    cores = zip(ratios[LEARNING], above[LEARNING]["cores"], below[LEARNING]["cores"], strict=True)
    return {
        **ratios,
        LEARNING_PER_CORE: [value * below_cores / above_cores for value, above_cores, below_cores in cores],
    }


def cpu_name() -> str:
    """Return the name of the processor, or of its architecture if the system does not report a name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_json(result: Mapping[str, Any], path: Path) -> None:
    """Write the result to a file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

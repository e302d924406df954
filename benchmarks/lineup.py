"""Who is measured, and which ratios are of interest."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.contestant import Contestant
from benchmarks.settings import Settings


class Entry(NamedTuple):
    """A contestant: what it is called, the overrides of the app that make it, and the size of its pool."""

    label: str
    overrides: tuple[str, ...] = ()
    pool: bool = False


_UNIFORM, _HALF = ("league/matchmaker=uniform",), ("league/matchmaker=latest_pfsp",)
_IN_PROCESS = ("runtime.num_env_runners=0", "runtime.pipeline=false")

LINEUP = {
    "stock": Entry("RLlib's own PPO"),
    "self_play": Entry("ours, self-play"),
    "in_process": Entry("ours, one process", _IN_PROCESS),
    "bare": Entry("bare loop"),
    "league": Entry("ours, league of 16", _UNIFORM, pool=True),
    "league_half": Entry("ours, half league of 16", _HALF, pool=True),
}

ENV, TRAINED = "env_steps_per_s", "trained_agent_steps_per_s"


class Ratio(NamedTuple):
    """One contestant's figure over another's, and what it should at least be when training."""

    above: str
    below: str
    figure: str
    target: float | None = None


RATIOS = (
    Ratio("self_play", "stock", TRAINED, 25.0),
    Ratio("self_play", "bare", TRAINED, 0.8),
    Ratio("in_process", "bare", TRAINED),
    Ratio("league", "self_play", ENV, 0.8),
    Ratio("league", "self_play", TRAINED, 0.8),
    Ratio("league_half", "self_play", ENV, 0.8),
    Ratio("league_half", "self_play", TRAINED),
)


def build(name: str, settings: Settings) -> Contestant:
    """The contestant, ready to run. What it needs is imported here: the processes of the others do without."""
    if name == "stock":
        from benchmarks.contestants.stock import Stock

        return Stock(settings)
    if name == "bare":
        from benchmarks.contestants.bare import BareLoop

        return BareLoop(settings)
    from benchmarks.contestants.ours import Ours

    entry = LINEUP[name]
    return Ours(settings, entry.overrides, settings.snapshots if entry.pool else 0)

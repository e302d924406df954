"""The answers of a plan as rows, all of one shape, so that a file, a table and a test read the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from marl_app.planning.result import PlanResult
from marl_app.planning.size import Size, bytes_per_s
from marl_app.planning.traffic import LINKS, MEMORY, SHARED, STORE, actor_limit, compute_designs

DAY = 86_400.0
GROWTH = (1, 2, 4)  # times the agents of a side

UNITS = {
    "actors": "actors",
    "matches_at_once": "matches",
    "matches": "matches",
    "match_env_steps": "env steps",
    "sides": "sides",
    "agents_per_side": "agents",
    "agent_steps_per_env_step": "agent steps/env step",
    "pool_snapshots": "snapshots",
    "elo_per_generation": "Elo",
    "opponents_at_once": "snapshots",
    "racks": "racks",
    "nodes": "nodes",
    "rack_cache_snapshots": "snapshots",
    "node_cache_snapshots": "snapshots",
    "learner_agent_steps_per_s": "agent steps/s",
}
"""Units of the settings whose name does not end in one."""


@dataclass(frozen=True)
class Row:
    """One number of a plan. `design` and `link` are empty where they mean nothing; `error` is the half width of the
    95 % interval of a simulated value; `note` says what the number does not."""

    quantity: str
    value: float
    unit: str
    design: str = ""
    link: str = ""
    error: float | None = None
    note: str = ""


def unit_of(setting: str) -> str:
    """The unit of a setting of `Size`."""
    endings = {"_gbit_per_s": "Gbit/s", "_bytes": "B", "_s": "s"}
    return UNITS.get(setting) or next(unit for ending, unit in endings.items() if setting.endswith(ending))


def assumptions(size: Size, sources: Mapping[str, str]) -> list[Row]:
    """Every setting as it is reckoned with; the note says where it comes from, and what null stands for."""
    null = {
        "weights_interval_s": (size.match_s, "once per match"),
        "opponent_interval_s": (size.match_s, "once per match"),
        "rack_cache_snapshots": (size.pool_snapshots, "the whole pool"),
        "node_cache_snapshots": (size.pool_snapshots, "the whole pool"),
    }
    rows = []
    for name in (item.name for item in fields(Size)):
        value, note = getattr(size, name), sources.get(name, "conf")
        if value is None:
            value, meaning = null[name]
            note += f": null, {meaning}"
        rows.append(Row(name, value, unit_of(name), note=note))
    return rows


def time_and_storage(answer: PlanResult) -> list[Row]:
    """ActorLimit-clock, steps, batch, storage."""
    size, self_play = answer.size, answer.self_play
    return [
        Row("wall-clock of the actors", size.played_s / DAY, "days"),
        Row("wall-clock of the learner", size.learned_s(self_play) / DAY, "days"),
        Row("wall-clock", answer.wall_clock_s / DAY, "days", note="the longer of the two"),
        Row("env steps of all actors", size.env_steps_per_s, "env steps/s"),
        Row("agent steps to train on", size.agent_steps_per_s(self_play), "agent steps/s"),
        Row("agent steps of the league", size.agent_steps(self_play), "agent steps"),
        Row("learner batch", size.batch_agent_steps(self_play), "agent steps", note="one update"),
        Row("storage per replica", size.replica_bytes, "B", note="the full pool"),
        Row("snapshots frozen", answer.wall_clock_s / size.freeze_interval_s, "snapshots", note="over the league"),
    ]


def hit_rates(answer: PlanResult) -> list[Row]:
    """Each cache's hit rate, simulated and by the closed form."""
    rows = []
    for hit in answer.hits:
        rows.append(
            Row(f"hit rate, {hit.cache}", hit.simulated.value, "share", hit.cache[0], error=hit.simulated.error)
        )
        if hit.closed_form is not None:
            rows.append(Row(f"hit rate by formula, {hit.cache}", hit.closed_form, "share", hit.cache[0]))
    return rows


def traffic(answer: PlanResult) -> list[Row]:
    """What the store sends once, and the bytes/s over every link."""
    rows = []
    for design in answer.designs:
        rows.append(Row("first fill", design.first_fill_bytes, "B", design.name, STORE, note="once"))
        taken = design.first_fill_bytes / bytes_per_s(answer.size.store_gbit_per_s)
        rows.append(Row("first fill takes", taken, "s", design.name, STORE, note="once, at all that the store sends"))
        rows.append(Row("memory", design.node_bytes, "B", design.name, MEMORY))
        for link in LINKS:
            moved = design.snapshots[link]
            rows.append(Row("snapshots", moved.value, "B/s", design.name, link, moved.error or None))
            rows.append(Row("trainee's weights", design.weights[link], "B/s", design.name, link))
    return rows


def limits(answer: PlanResult) -> list[Row]:
    """By design: what it takes of each resource, the bottleneck, and the number of actors at which that gives way."""
    rows = []
    for name, used in answer.used.items():
        for resource, share in used.items():
            note = "" if resource in SHARED else f"{'enough' if share <= 1 else 'too small'}, at any number of actors"
            rows.append(Row("utilization", share, "share", name, resource, note=note))
            if resource in SHARED:
                rows.append(Row("full at", answer.size.actors / share, "actors", name, resource))
        actors, resource = actor_limit(answer.size.actors, used)
        rows.append(Row("bottleneck", used[resource], "share", name, resource, note="gives way first"))
        rows.append(
            Row("actor limit", actors, "actors", name, resource, note="" if actors else "too small for any number")
        )
    return rows


def growth(answer: PlanResult) -> list[Row]:
    """For 1, 2 and 4 times the agents of a side, under one shared network: what grows, and what does not."""
    rows = []
    for factor in GROWTH:
        size = replace(answer.size, agents_per_side=answer.size.agents_per_side * factor)
        note = f"{size.agents_per_side} agents per side"
        rows += [
            Row("agent steps of the league", size.agent_steps(answer.self_play), "agent steps", note=note),
            Row("learner batch", size.batch_agent_steps(answer.self_play), "agent steps", note=note),
            Row("wall-clock of the actors", size.played_s / DAY, "days", note=note),
            Row("wall-clock of the learner", size.learned_s(answer.self_play) / DAY, "days", note=note),
            Row("snapshot", size.snapshot_bytes, "B", note=note),
        ]
        rows += [
            Row("trainee's weights", design.weights[STORE], "B/s", design.name, STORE, note=note)
            for design in compute_designs(size, answer.opponents.share, None)
            if design.name in "bd"
        ]
    return rows

"""The result of a plan as rows of one format, which files, tables and tests share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from marl_app.planning.result import PlanResult
from marl_app.planning.size import Size, bytes_per_s
from marl_app.planning.traffic import LINKS, MEMORY, SHARED, STORE, actor_limit, compute_designs

DAY = 86_400.0
GROWTH = (1, 2, 4)  # factors on the number of agents of a side

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
"""Units of the settings whose names do not end in a unit."""


@dataclass(frozen=True)
class Row:
    """One number of a plan.

    `design` and `link` are empty if they do not apply; `error` is the half width of the 95 % interval of a simulated
    value; `note` adds context in words.
    """

    quantity: str
    value: float
    unit: str
    design: str = ""
    link: str = ""
    error: float | None = None
    note: str = ""


def unit_of(setting: str) -> str:
    """Return the unit of a setting of `Size`."""
    # "_gbit_per_s" before "_s", which also matches it.
    endings = {"_gbit_per_s": "Gbit/s", "_bytes": "B", "_s": "s"}
    return UNITS.get(setting) or next(unit for ending, unit in endings.items() if setting.endswith(ending))


def assumptions(size: Size, sources: Mapping[str, str]) -> list[Row]:
    """Return every setting with the value used; the note gives its source, and the meaning of null."""
    # setting -> (the value that null stands for, its meaning)
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
    """Return wall-clock times, step rates, batch size and storage."""
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
    """Return each cache's hit rate, simulated and by the closed form."""
    rows = []
    for hit in answer.hits:
        rows.append(
            Row(f"hit rate, {hit.cache}", hit.simulated.value, "share", hit.cache[0], error=hit.simulated.error)
        )
        if hit.closed_form is not None:
            rows.append(Row(f"hit rate by formula, {hit.cache}", hit.closed_form, "share", hit.cache[0]))
    return rows


def traffic(answer: PlanResult) -> list[Row]:
    """Return the first fill, the memory of a node, and the bytes/s over every link, by design."""
    rows = []
    for design in answer.designs:
        # What the store sends once, and for how long.
        rows.append(Row("first fill", design.first_fill_bytes, "B", design.name, STORE, note="once"))
        fill_s = design.first_fill_bytes / bytes_per_s(answer.size.store_gbit_per_s)
        rows.append(
            Row("first fill takes", fill_s, "s", design.name, STORE, note="once, at the store's full bandwidth")
        )
        rows.append(Row("memory", design.node_bytes, "B", design.name, MEMORY))
        for link in LINKS:
            moved = design.snapshots[link]
            rows.append(Row("snapshots", moved.value, "B/s", design.name, link, moved.error or None))
            rows.append(Row("trainee's weights", design.weights[link], "B/s", design.name, link))
    return rows


def limits(answer: PlanResult) -> list[Row]:
    """Return by design: the utilization of each resource, the bottleneck, and the number of actors that it limits."""
    rows = []
    for name, used in answer.used.items():
        for resource, share in used.items():
            # Adding racks leaves the utilization of a rack or node unchanged.
            note = "" if resource in SHARED else f"{'enough' if share <= 1 else 'too small'} for any number of actors"
            rows.append(Row("utilization", share, "share", name, resource, note=note))
            if resource in SHARED:
                rows.append(Row("full at", answer.size.actors / share, "actors", name, resource))
        actors, resource = actor_limit(answer.size.actors, used)
        rows.append(Row("bottleneck", used[resource], "share", name, resource, note="the first resource to be full"))
        rows.append(
            Row("actor limit", actors, "actors", name, resource, note="" if actors else "too small for any number")
        )
    return rows


def growth(answer: PlanResult) -> list[Row]:
    """Return what grows with 1, 2 and 4 times the agents of a side, under one shared network, and what does not."""
    rows = []
    # Agent steps grow with the agents; the network is shared, so the size of a snapshot does not.
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
            # No miss rates: only the traffic of the trainee's weights is read here, which does not depend on them.
            for design in compute_designs(size, answer.opponents.share, None)
            if design.name in "bd"  # with and without caches; a is as b here, c as d
        ]
    return rows

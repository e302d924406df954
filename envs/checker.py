"""Check an environment against the whole contract of `envs.batched` by random legal play.

    python -m marl_app.envs.checker connect_four                                      # an option of conf/env
    python -m marl_app.envs.checker pettingzoo name=pettingzoo.classic.go_v5          # with a key changed
    python -m marl_app.envs.checker my_package.games.MyGame board_size=9              # any class that is a BatchedEnv
    python -m marl_app.envs.checker my_package.games.MyGame --max-steps=100000        # if a match takes that long

Prints a summary of what was checked, or one line that names the violated promise (exit status 1).
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml  # type: ignore[import-untyped, unused-ignore]
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Group, MakeEnv
from marl_app.envs.checked_placement import check_placement
from marl_app.envs.checked_play import CheckedPlay, require
from marl_app.envs.checked_rendering import check_rendering
from marl_app.envs.checked_solved import check_solved
from marl_app.envs.checked_symmetries import check_symmetries
from marl_app.envs.copies import describe
from marl_app.envs.openspiel_adapter import load_game
from marl_app.envs.random_play import random_actions, rows_by_group


class CheckReport(NamedTuple):
    """The result of a passed `check_env`: the structure of the environment, and statistics of the played matches."""

    agents: tuple[str, ...]
    groups: tuple[Group, ...]
    sides: tuple[tuple[int, ...], ...]
    matches: int
    mean_length: float
    steps_per_second: float
    """Env steps per second, including observations, masks and checks."""


MAX_STEPS = 20_000
"""Steps within which a match must end by random play."""


def check_env(
    make: MakeEnv, num_matches: int = 6, steps: int = 300, seed: int = 0, max_steps: int = MAX_STEPS
) -> CheckReport:
    """Play random legal moves and check every promise of the contract.

    make: makes the environment with the given number of matches; called several times.
    steps: number of steps of all matches. Long matches are played on until one has ended, for at most `max_steps`.

    Raises AssertionError with one line that names the violated promise; errors of the environment pass through.
    """
    env = make(num_matches)
    try:
        # One environment for structure, play and reset; new ones for the comparisons of whole matches.
        check_structure(env, num_matches)
        begin = time.perf_counter()
        play = CheckedPlay(env, seed)
        played = 0
        while played < steps or (not play.ended_matches and played < max_steps):
            play.step()
            played += 1
        seconds = time.perf_counter() - begin
        require(
            play.ended_matches > 0,
            f"no match ended within {played} steps: give it a time limit, or allow more (--max-steps=N)",
        )
        check_reset(env, seed)
    finally:
        env.close()

    # The other checks make environments of their own, and play fewer steps.
    check_same_seed(make, num_matches, min(steps, 50), seed)
    check_batch_size(make, num_matches, min(steps, 50), seed)
    check_symmetries(make, num_matches, min(steps, 50), seed)
    check_placement(make, num_matches, min(steps, 50), seed)
    check_solved(make)
    check_rendering(make, min(steps, 5), seed)
    length = play.ended_steps / play.ended_matches
    return CheckReport(env.agents, env.groups, env.sides, play.ended_matches, length, played * num_matches / seconds)


def check_structure(env: BatchedEnv, num_matches: int) -> None:
    """Check agents, groups, sides, spaces and openings."""
    require(env.num_matches == num_matches, f"num_matches is {env.num_matches}, but {num_matches} were requested")
    require(len(set(env.agents)) == len(env.agents) > 0, f"agents must be different names, not {env.agents}")
    _require_partition([group.agents for group in env.groups], env.agents, "groups")
    _require_partition(env.sides, env.agents, "sides")
    names = [group.name for group in env.groups]
    require(len(set(names)) == len(names), f"two groups have the same name: {names}")
    for group in env.groups:
        # Networks are named after groups.
        require(group.name.isidentifier(), f"the group's name {group.name!r} is not a valid identifier")
        known = (spaces.Discrete, spaces.MultiDiscrete, spaces.Box)
        require(isinstance(group.observation_space, spaces.Box), f"group {group.name}: observation_space is not a Box")
        require(
            isinstance(group.action_space, known),
            f"group {group.name}: action_space {group.action_space} is not Discrete, MultiDiscrete or Box",
        )
    # Tree search and exact exploitability use OpenSpiel's action ids in the environment.
    if env.openspiel_game is not None:
        actions = load_game(env.openspiel_game).num_distinct_actions()
        require(
            all(group.mask_size == actions for group in env.groups),
            f"openspiel_game={env.openspiel_game} has {actions} actions, which is not the size of every action space",
        )
    if env.openings is not None:
        probability, low, high = env.openings
        require(
            0 <= probability <= 1 and 0 <= low <= high,
            f"openings {env.openings} must have 0 <= probability <= 1 and 0 <= low <= high",
        )


def check_reset(env: BatchedEnv, seed: int) -> None:
    """Check that resetting one match, or none, leaves the other matches unchanged."""
    rng = np.random.default_rng(seed)
    env.reset(rng)
    step = env.step(random_actions(env, rng), rng)
    ended = step.over.nonzero()[0]
    if len(ended):
        env.reset(rng, ended)
    # All matches are one step into a match now, or at its beginning where it ended in that step.
    before = _visible_state(env)
    env.reset(rng, np.zeros(0, np.int64))  # an empty list must not be read as "all matches"
    require(_equal(before, _visible_state(env), slice(None)), "resetting no match changed something")
    env.reset(rng, np.array([0]))
    require(_equal(before, _visible_state(env), slice(1, None)), "resetting match 0 changed another match")


def check_same_seed(make: MakeEnv, num_matches: int, steps: int, seed: int) -> None:
    """Check that the same generator seed gives the same matches."""
    first, second = (_play_trace(make(num_matches), steps, seed) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        require(np.array_equal(a, b), "the same seed gave different matches: draw all randomness from the passed rng")


def check_batch_size(make: MakeEnv, num_matches: int, steps: int, seed: int) -> None:
    """Check that a match goes the same way alone and in a batch, if the environment draws no random numbers."""
    batch, single = make(num_matches), make(1)
    try:
        # Both environments share one generator: if either of them drew from it, their matches would differ rightly, so
        # the check ends as soon as the state of the generator is no longer the initial one.
        rng = np.random.default_rng(seed)
        fresh = rng.bit_generator.state
        batch.reset(rng)
        single.reset(rng)
        # Match 0 of the batch and the single match get the same actions, so all their results must be equal.
        chooser = np.random.default_rng(seed)
        for _ in range(steps):
            if rng.bit_generator.state != fresh:
                return
            actions = random_actions(batch, chooser)
            step = batch.step(actions, rng)
            alone = single.step([array[:1] for array in actions], rng)
            if rng.bit_generator.state != fresh:  # before the comparison: results may differ by chance now
                return
            same = all(np.array_equal(a[:1], b) for a, b in zip(step, alone, strict=True))
            for env, result in ((batch, step), (single, alone)):
                env.reset(rng, result.over.nonzero()[0])
            same = same and _equal(_visible_state(batch), _visible_state(single), slice(1))
            require(same, "a match depends on the other matches of the batch")
    finally:
        batch.close()
        single.close()


def _play_trace(env: BatchedEnv, steps: int, seed: int) -> list[Array]:
    """Return everything that an environment returned in some steps of random play."""
    try:
        play = CheckedPlay(env, seed)
        for _ in range(steps):
            play.step()
        return play.trace
    finally:
        env.close()


def _visible_state(env: BatchedEnv) -> list[Array]:
    """Return who acts, [B, agents], and per group the observations and masks of acting agents, [B, n_group, ...]."""
    acting = env.acting()
    size = env.num_matches
    seen = [np.zeros((size, len(group.agents), *group.observation_space.shape)) for group in env.groups]
    legal = [np.zeros((size, len(group.agents), group.mask_size), np.bool_) for group in env.groups]
    for index, matches, agents, places in rows_by_group(env, acting):
        seen[index][matches, places] = env.observe(matches, agents)
        mask = env.action_mask(matches, agents)
        legal[index][matches, places] = True if mask is None else mask
    return [acting, *seen, *legal]


def _equal(before: Sequence[Array], after: Sequence[Array], matches: slice) -> bool:
    return all(np.array_equal(a[matches], b[matches]) for a, b in zip(before, after, strict=True))


def _require_partition(parts: Sequence[Sequence[int]], agents: Sequence[str], name: str) -> None:
    for index, agent in enumerate(agents):
        count = sum(list(part).count(index) for part in parts)
        require(count == 1, f"{name}: agent {agent} is in {count} of them; it must be in exactly one")
    known = all(0 <= index < len(agents) for part in parts for index in part)
    require(known and all(len(part) for part in parts), f"{name}: a part is empty or has an index that is not an agent")


def instantiate(config: Mapping[str, Any], *args: Any) -> Any:
    """Build the object of a config with a `_target_`, nested ones first: the part of Hydra that conf/env needs.

    `args` are passed first. Raises ValueError for a key that was left at `???`.
    """
    missing = [key for key, value in config.items() if value == "???"]
    if missing:
        raise ValueError(f"env.{missing[0]} is not set: give {missing[0]}=...")
    kwargs = {
        key: instantiate(value) if isinstance(value, dict) and "_target_" in value else value
        for key, value in config.items()
        if key != "_target_"
    }
    module, _, name = str(config["_target_"]).rpartition(".")
    return getattr(importlib.import_module(module), name)(*args, **kwargs)


def read_config(option: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the config of an option of conf/env or of a class path, with `key=value` overrides (YAML values).

    Raises ValueError if `option` is neither.
    """
    path = Path(__file__).parents[1] / "conf" / "env" / f"{option}.yaml"
    if path.exists():
        content = yaml.safe_load(path.read_text())
        # An option that also sets keys of other groups has the environment under `env`.
        config = dict(content.get("env", content))
    elif "." in option:
        config = {"_target_": option}
    else:
        options = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise ValueError(f"{option!r} is neither an option of conf/env ({options}) nor a dotted path to a class")
    for override in overrides:
        key, _, value = override.partition("=")
        config[key] = yaml.safe_load(value)
    return config


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    if not arguments:
        print(__doc__)
        return 1
    # All arguments after the first are `key=value`, but for `--max-steps=N`.
    limits = [argument for argument in arguments if argument.startswith("--max-steps=")]
    overrides = [argument for argument in arguments[1:] if argument not in limits]
    try:
        config = read_config(arguments[0], overrides)
        max_steps = int(limits[-1].partition("=")[2]) if limits else MAX_STEPS
        report = check_env(lambda num_matches: instantiate(config, num_matches), max_steps=max_steps)
    except Exception as error:
        # Errors of the environment are reported as broken promises are: in one line.
        print(f"{arguments[0]}: {describe(error)}", file=sys.stderr)
        return 1
    print(f"{arguments[0]}: every check passed")
    print(f"  agents   {', '.join(report.agents)}")
    for group in report.groups:
        members = ", ".join(report.agents[agent] for agent in group.agents)
        views = "" if group.symmetries is None else f"; {len(group.symmetries.actions)} symmetric views"
        print(f"  group    {group.name}: {members}; sees {group.observation_space}; acts {group.action_space}{views}")
    for side in report.sides:
        print(f"  side     {', '.join(report.agents[agent] for agent in side)}")
    print(f"  played   {report.matches} matches of {report.mean_length:.1f} steps on average")
    print(f"  speed    {report.steps_per_second:,.0f} env steps per second, checks included")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

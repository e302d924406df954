"""Matches played by the package jaxmarl (0.2.0), as arrays, for `test_smax.py`.

pip install '.[smax]'
JAX_PLATFORMS=cpu python -m tests.envs.smax_record          # writes smax.npz again, in some minutes
"""

from functools import cache
from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "smax.npz"
SCENARIOS = (
    "3m", "8m", "25m", "5m_vs_6m", "10m_vs_11m", "27m_vs_30m", "2s3z", "3s5z", "3s5z_vs_3s6z", "3s_vs_5z", "6h_vs_8z",
    "smacv2_5_units", "smacv2_10_units", "smacv2_20_units",
)  # fmt: skip
MODES = ("heuristic", "self_play")
TICKS, TICK_SECONDS = 8, 1 / 16


@cache  # compiling takes most of the time
class Original:
    """Matches of jaxmarl in parallel: its functions, compiled, and the random numbers that it draws."""

    def __init__(self, scenario: str, mode: str) -> None:
        import jax
        import jax.numpy as jnp
        from jaxmarl.environments.smax import SMAX, HeuristicEnemySMAX, map_name_to_scenario

        settings = {"scenario": map_name_to_scenario(scenario), "use_self_play_reward": mode == "self_play"}
        heuristic = mode == "heuristic"
        env = HeuristicEnemySMAX(**settings) if heuristic else SMAX(**settings)
        whole = env._env if heuristic else env  # with the actions of both sides
        self.agents, self.allies, self.enemies = len(env.agents), whole.num_allies, whole.num_enemies
        units = whole.num_allies + whole.num_enemies

        def views(state):
            """Return what the match looks like after a step; masks of enemies have their own width."""
            world = state.state if heuristic else state
            observations, masks = whole.get_obs(world), whole.get_avail_actions(world)
            width = 5 + max(self.allies, self.enemies)
            padded = [jnp.pad(mask, (0, width - len(mask))) for mask in (masks[agent] for agent in whole.agents)]
            return {
                "positions": world.unit_positions,
                "health": world.unit_health,
                "cooldowns": world.unit_weapon_cooldowns,
                "alive": world.unit_alive,
                "types": world.unit_types,
                "observations": jnp.stack([observations[agent] for agent in whole.agents]),
                "masks": jnp.stack(padded).astype(bool),
                "states": whole.get_world_state(world),
            }

        def reset(key):
            _, state = env.reset(key)
            return state, views(state)

        def step(key, state, actions):
            chosen = {agent: actions[index] for index, agent in enumerate(env.agents)}
            _, after, rewards, dones, _ = env.step_env(key, state, chosen)
            # The cooldowns of all ticks show which units attacked: only their jitter has an effect.
            ticks = env.step_env(key, state, chosen, get_state_sequence=True).unit_weapon_cooldowns
            before = (state.state if heuristic else state).unit_weapon_cooldowns
            attacked = jnp.diff(ticks, axis=0, prepend=before[None]) > 0
            draws, jitter = random_numbers(key)
            found = {
                "rewards": jnp.stack([rewards[agent] for agent in env.agents]),
                "done": dones["__all__"],
                "draws": draws,
                "jitter": jnp.where(attacked, jitter, 0.0),
            }
            return after, found | views(after)

        def random_numbers(key):
            """Return what `step_env` draws: [enemies] the ally to follow, [TICKS, units] the jitter of cooldowns."""
            key, action_key = jax.random.split(key)
            enemy_keys = jax.vmap(lambda k: jax.random.split(k)[0])(jax.random.split(action_key, self.enemies))
            draws = 1 - jax.vmap(lambda k: jax.random.uniform(k, ()))(enemy_keys)
            jitter = []
            for _ in range(TICKS):
                key, tick_key = jax.random.split(key)
                keys = jax.random.split(tick_key, units)
                draw = jax.vmap(lambda k: jax.random.uniform(k, minval=-TICK_SECONDS, maxval=2 * TICK_SECONDS))
                jitter.append(draw(keys))
            return draws, jnp.stack(jitter)

        self.reset, self.step = jax.jit(jax.vmap(reset)), jax.jit(jax.vmap(step))
        self.keys = lambda seed, count: jax.random.split(jax.random.PRNGKey(seed), count)
        self.follow = jax.jit(jax.vmap(lambda key: tuple(jax.random.split(key))))


def record(scenario: str, mode: str, matches: int, seed: int) -> dict[str, np.ndarray]:
    """Play matches; returns arrays [time, matches, ...], `VIEWS` also before the first step; `lengths`: [matches]."""
    original, rng = Original(scenario, mode), np.random.default_rng(seed)
    keys = original.keys(seed, matches)
    keys, first = original.follow(keys)
    state, seen = original.reset(first)
    seen = {key: np.array(value) for key, value in seen.items()}
    times: dict[str, list] = {key: [value] for key, value in seen.items()} | {"actions": []}
    lengths = np.zeros(matches, np.int64)
    while not lengths.all():
        actions = choose(rng, original, seen)
        keys, now = original.follow(keys)
        state, result = original.step(now, state, actions.astype(np.int32))
        seen = {key: np.array(value) for key, value in result.items()}
        for key, value in (seen | {"actions": actions}).items():
            times.setdefault(key, []).append(value)
        lengths[seen["done"] & (lengths == 0)] = len(times["actions"])
    return {key: np.array(value) for key, value in times.items()} | {"lengths": lengths}


def choose(rng: np.random.Generator, original: Original, seen: dict[str, np.ndarray]) -> np.ndarray:
    """Choose actions [matches, agents]: mostly attacks and moves toward the other side, some at random, legal or not.

    In every fourth match agents mostly walk to a wall.
    """
    matches, agents = len(seen["masks"]), original.agents
    is_ally = np.arange(agents) < original.allies
    masks = seen["masks"][:, :agents]
    actions = rng.integers(np.where(is_ally, 5 + original.enemies, 5 + original.allies), size=(matches, agents))
    # Toward the mean position of the other side, with noise.
    positions = seen["positions"]
    centers = positions[:, original.allies :].mean(axis=1), positions[:, : original.allies].mean(axis=1)
    goal = np.where(is_ally[:, None], centers[0][:, None], centers[1][:, None])
    path = goal - positions[:, :agents] + rng.normal(0, 3, (matches, agents, 2))
    x, y = path[..., 0], path[..., 1]
    moves = np.stack([y, x, -y, -x], axis=-1).argmax(axis=-1)
    moves[3::4] = rng.integers(4)
    actions = np.where(rng.random(actions.shape) < 0.75, moves, actions)
    attack = np.where(masks[..., 5:], rng.random(masks[..., 5:].shape), -1).argmax(axis=-1) + 5
    return np.where(masks[..., 5:].any(axis=-1) & (rng.random(actions.shape) < 0.85), attack, actions)


VIEWS = ("positions", "health", "cooldowns", "alive", "observations", "masks", "states")


def select(matches: dict[str, np.ndarray], chosen: list[int]) -> dict[str, np.ndarray]:
    """Return some of the matches that `record` returns."""
    steps = matches["lengths"][chosen].max()
    selected = {"lengths": matches["lengths"][chosen]}
    for key in matches.keys() - {"lengths"}:
        # There are views before the first step, too.
        times = steps + 1 if len(matches[key]) > len(matches["actions"]) else steps
        selected[key] = matches[key][:times, chosen]
    return selected


def thin(matches: dict[str, np.ndarray], every: int, units: int, seed: int) -> dict[str, np.ndarray]:
    """Return a part of what `record` returns: views of every n-th step and the last ones, observations of some units.

    `times` are the steps of the views, `units` [views, units] whose observations there are. What follows the end of a
    match is 0.
    """
    last = len(matches["actions"])
    times = np.unique([*range(0, last, every), *matches["lengths"]])
    count = matches["health"].shape[2]
    chosen = np.array([np.random.default_rng((seed, time)).permutation(count)[:units] for time in times])
    thinned = {key: matches[key][times] for key in VIEWS}
    thinned["observations"] = np.take_along_axis(thinned["observations"], chosen[:, None, :, None], axis=2)
    for index, time in enumerate(times):
        for key in VIEWS:
            thinned[key][index, time > matches["lengths"]] = 0
    kept = {key: matches[key] for key in ("lengths", "actions", "jitter", "rewards", "draws")}
    kept["path"] = matches["positions"]  # of every step
    for key in ("actions", "jitter", "rewards", "draws"):
        for match, length in enumerate(matches["lengths"]):
            kept[key][length:, match] = 0
    for match, length in enumerate(matches["lengths"]):
        kept["path"][length + 1 :, match] = 0
    return thinned | kept | {"types": matches["types"][0], "times": times, "units": chosen}


SMALL = {"alive": np.bool_, "masks": np.bool_} | dict.fromkeys(("actions", "types", "times", "units"), np.uint8)


def main() -> None:
    """Record and write some matches of every scenario in both modes."""
    arrays = {}
    for scenario in SCENARIOS:
        for mode in MODES:
            print(scenario, mode, flush=True)
            chosen = [0] if mode == "heuristic" else [0, 3]
            matches = thin(select(record(scenario, mode, 4, 0), chosen), 8, 2, 0)
            for key, value in matches.items():
                arrays[f"{scenario}/{mode}/{key}"] = value.astype(SMALL.get(key, value.dtype))
    np.savez_compressed(PATH, **arrays)


if __name__ == "__main__":
    main()

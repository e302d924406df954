"""Matches played by the package lbforaging (2.0.0), as arrays, for `test_foraging.py`.

pip install '.[foraging]'
python -m tests.envs.lbforaging_record          # writes lbforaging.npz again
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "lbforaging.npz"

BASE = {"min_player_level": 1, "max_player_level": 2, "min_food_level": 1, "max_food_level": None, "penalty": 0.0}
BASE |= {"max_episode_steps": 50, "force_coop": False, "normalize_reward": True}
SETTINGS = {
    "8x8_2p_2f_coop": {**BASE, "field_size": (8, 8), "players": 2, "max_num_food": 2, "sight": 8, "force_coop": True},
    "10x10_3p_3f": {**BASE, "field_size": (10, 10), "players": 3, "max_num_food": 3, "sight": 10},
    "8x8_2p_2f_2s": {**BASE, "field_size": (8, 8), "players": 2, "max_num_food": 2, "sight": 2},
    # Crowded, with short sight and penalties, and long: frequent collisions, shared cells and failed loads.
    "6x6_5p_3f_1s": {**BASE, "field_size": (6, 6), "players": 5, "max_num_food": 3, "sight": 1, "penalty": 0.1,
                     "max_food_level": 5, "max_player_level": 3, "max_episode_steps": 100},
    "5x5_4p_1f": {**BASE, "field_size": (5, 5), "players": 4, "max_num_food": 1, "sight": 5, "normalize_reward": False},
}  # fmt: skip


def record(settings: dict, seed: int) -> dict[str, np.ndarray]:
    """Play a match of random actions, half of them loads where loading is valid; returns arrays over time."""
    from lbforaging.foraging.environment import Action, ForagingEnv

    env, rng = ForagingEnv(**settings), np.random.default_rng(seed)
    seen, _ = env.reset(seed=seed)
    rows, columns = np.nonzero(env.field)
    match = {
        "positions": np.array([player.position for player in env.players]),
        "levels": np.array([player.level for player in env.players]),
        "food_positions": np.stack([rows, columns], axis=1),
        "food_levels": env.field[rows, columns],
    }
    steps: dict[str, list] = {"observations": [], "masks": [], "actions": [], "rewards": [], "done": []}
    done = False
    while not done:
        masks = np.array([[action in env._valid_actions[player] for action in Action] for player in env.players])
        actions = rng.integers(6, size=len(env.players))  # valid or invalid
        actions = np.where(masks[:, 5] & (rng.random(len(actions)) < 0.5), 5, actions)
        steps["observations"].append(seen)
        steps["masks"].append(masks)
        seen, rewards, done, _, _ = env.step(actions)
        for key, value in (("actions", actions), ("rewards", rewards), ("done", done)):
            steps[key].append(value)
    steps["observations"].append(seen)
    return match | {key: np.array(value) for key, value in steps.items()}


SMALL = {"observations": np.int8, "rewards": np.float32, "done": np.bool_, "masks": np.bool_}


def main() -> None:
    """Record and write four matches of every setting."""
    arrays = {}
    for name, settings in SETTINGS.items():
        for seed in range(4):
            for key, value in record(settings, seed).items():
                arrays[f"{name}/{seed}/{key}"] = value.astype(SMALL.get(key, np.int8))
    np.savez_compressed(PATH, **arrays)


if __name__ == "__main__":
    main()

"""Level-based foraging, move for move against lbforaging: recorded matches, and live ones if it is installed."""

import numpy as np
import pytest

from marl_app.envs.checker import check_env, instantiate, read_config
from marl_app.envs.foraging import Foraging
from tests.envs.lbforaging_record import PATH, SETTINGS, record


def recorded(name: str) -> list[dict[str, np.ndarray]]:
    """Return the recorded matches of a setting."""
    with np.load(PATH) as file:
        keys = [key.split("/") for key in file.files if key.startswith(f"{name}/")]
        return [{key: file[f"{name}/{seed}/{key}"] for _, seed, key in keys if seed == s} for s in {k[1] for k in keys}]


def compare_replay(settings: dict, matches: list[dict[str, np.ndarray]]) -> None:
    """Replay the matches as one batch, from the same initial states and with the same actions, and compare."""
    env, rng = Foraging(len(matches), **settings), np.random.default_rng(0)
    env.reset(rng)
    players = len(env.agents)
    for index, match in enumerate(matches):
        env.positions[index], env.levels[index] = match["positions"], match["levels"]
        env.food_levels[index] = 0
        env.food_levels[index, : len(match["food_levels"])] = match["food_levels"]
        env.food_positions[index, : len(match["food_levels"])] = match["food_positions"]
        env.food_spawned[index] = match["food_levels"].sum()
    running = list(range(len(matches)))
    time = 0
    while running:
        compare_views(env, running, matches, time)
        actions = np.zeros((len(matches), players), np.int64)
        for index in running:
            masks = env.action_mask(np.full(players, index), np.arange(players))
            np.testing.assert_array_equal(masks, matches[index]["masks"][time])
            actions[index] = matches[index]["actions"][time]
        step = env.step([actions], rng)
        compare_views(env, running, matches, time + 1)
        for index in running:
            match = matches[index]
            np.testing.assert_allclose(step.rewards[index], match["rewards"][time], rtol=1e-6)
            ended = bool(step.over[index])
            assert ended == match["done"][time]
            # lbforaging has only `done`: the match was truncated if food is left.
            assert (step.terminated[index] == (not env.food_levels[index].any())).all()
            assert (step.truncated[index] == (ended and env.food_levels[index].any())).all()
        running = [index for index in running if not matches[index]["done"][time]]
        time += 1
    assert time <= settings["max_episode_steps"]


def compare_views(env: Foraging, running: list[int], matches: list[dict[str, np.ndarray]], time: int) -> None:
    """Compare the observations of the running matches, and the state, which is all observations."""
    players = len(env.agents)
    expected = np.array([matches[index]["observations"][time] for index in running]).reshape(len(running), -1)
    observed = env.observe(np.repeat(running, players), np.tile(np.arange(players), len(running)))
    np.testing.assert_array_equal(observed.reshape(len(running), -1), expected)
    np.testing.assert_array_equal(env.state(np.array(running)), expected)


@pytest.mark.parametrize("name", SETTINGS)
def test_recorded_matches_are_reproduced(name):
    matches = recorded(name)
    assert len(matches) == 4
    compare_replay(SETTINGS[name], matches)


def test_the_recorded_matches_cover_the_special_cases():
    matches = {name: recorded(name) for name in SETTINGS}
    everything = [match for group in matches.values() for match in group]
    assert any(match["rewards"].min() < 0 for match in everything)  # penalties
    crowded = matches["6x6_5p_3f_1s"]
    # Two players in one cell observe each other at their position (row 1, column 1 of the visible area off the edge).
    first = 3 * SETTINGS["6x6_5p_3f_1s"]["max_num_food"]
    others = [m["observations"][..., first + 3 :].reshape(*m["observations"].shape[:2], 4, 3) for m in crowded]
    positions = [match["observations"][..., first : first + 2] for match in crowded]
    assert any((a[..., :2] == b[:, :, None]).all(axis=3).any() for a, b in zip(others, positions, strict=True))
    lengths = {len(match["done"]) for match in everything}
    assert 50 in lengths and min(lengths) < 50
    # The food of a match is worth 1 in total.
    whole = [m["rewards"].sum() for m in matches["10x10_3p_3f"] + matches["8x8_2p_2f_2s"] if len(m["done"]) < 50]
    np.testing.assert_allclose(whole, 1, rtol=1e-5)


@pytest.mark.parametrize("name", SETTINGS)
def test_live_matches_of_lbforaging_are_reproduced(name):
    pytest.importorskip("lbforaging")
    compare_replay(SETTINGS[name], [record(SETTINGS[name], seed) for seed in range(100, 140)])


@pytest.mark.parametrize("name", SETTINGS)
def test_initial_states_have_the_distribution_of_lbforaging(name):
    pytest.importorskip("lbforaging")
    from lbforaging.foraging.environment import ForagingEnv

    settings, count = SETTINGS[name], 1500
    env, original = Foraging(count, **settings), ForagingEnv(**settings)
    env.reset(np.random.default_rng(0))
    rows, columns = settings["field_size"]
    ours, theirs = np.zeros((2, rows, columns)), np.zeros((2, rows, columns))
    levels, spawned = [], []
    for seed in range(count):
        original.reset(seed=seed)
        theirs[0] += original.field > 0
        levels.append(original.field.max())
        spawned.append((original.field > 0).sum())
        for player in original.players:
            theirs[1][player.position] += 1
    food = env.food_levels > 0
    np.add.at(ours[0], tuple(env.food_positions[food].T), 1)
    np.add.at(ours[1], tuple(env.positions.reshape(-1, 2).T), 1)
    np.testing.assert_allclose(ours / count, theirs / count, atol=0.06)  # about five standard deviations
    assert (ours[0] > 0).tolist() == (theirs[0] > 0).tolist()
    highest = max(levels) + 1
    compared = [np.bincount(values, minlength=highest) / count for values in (levels, env.food_levels.max(axis=1))]
    np.testing.assert_allclose(*compared, atol=0.07)
    assert abs(np.mean(spawned) - food.sum(axis=1).mean()) < 0.1


def start(players: list[tuple[int, int]], levels: list[int], food: tuple[int, int], level: int, **settings) -> Foraging:
    """Return a match with a given initial state and a single food."""
    env = Foraging(1, players=len(players), max_num_food=1, **settings)
    env.reset(np.random.default_rng(0))
    env.positions[0], env.levels[0], env.food_positions[0, 0] = players, levels, food
    env.food_levels[0, 0] = env.food_spawned[0] = level
    return env


def play(env: Foraging, *actions: int):
    return env.step([np.array([actions])], np.random.default_rng(0))


def test_two_weak_players_load_food_that_neither_can_load_alone():
    env = start([(3, 2), (3, 4), (7, 7)], [1, 2, 2], (3, 3), 3, penalty=0.5)
    step = play(env, 5, 0, 0)  # alone: too weak
    assert step.rewards.tolist() == [[-0.5, 0, 0]] and not step.over[0]
    step = play(env, 5, 5, 0)
    np.testing.assert_allclose(step.rewards, [[1 / 3, 2 / 3, 0]], rtol=1e-6)
    assert step.terminated.all() and not step.truncated.any()


def test_only_players_that_load_are_rewarded():
    step = play(start([(3, 2), (3, 4)], [2, 2], (3, 3), 2), 5, 0)
    assert step.rewards.tolist() == [[1, 0]]


def test_players_block_swap_and_follow_one_another():
    env = start([(0, 0), (0, 2), (0, 3)], [1, 1, 1], (5, 5), 1)
    play(env, 4, 3, 3)  # the first two have the same target and stay; the third moves to the cell of the second
    assert env.positions[0].tolist() == [[0, 0], [0, 2], [0, 2]]
    play(env, 0, 0, 4)
    play(env, 0, 4, 3)  # swap
    assert env.positions[0].tolist() == [[0, 0], [0, 3], [0, 2]]


def test_food_and_the_edge_block_moves():
    env = start([(0, 0), (3, 2)], [1, 1], (3, 3), 1)
    masks = env.action_mask(np.zeros(2, int), np.arange(2))
    assert masks.astype(int).tolist() == [[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 0, 1]]
    play(env, 1, 4)
    assert env.positions[0].tolist() == [[0, 0], [3, 2]]


def test_a_shared_reward_is_the_same_for_all_and_has_the_same_sum():
    # Levels 1 and 2 load the only food, worth 1 in total: 1/3 and 2/3, or 1/3 for each of the three players.
    for shared, expected in ((False, [1 / 3, 2 / 3, 0]), (True, [1 / 3, 1 / 3, 1 / 3])):
        env = start([(3, 2), (3, 4), (7, 7)], [1, 2, 2], (3, 3), 3, shared_reward=shared)
        np.testing.assert_allclose(play(env, 5, 5, 0).rewards, [expected], rtol=1e-6)


def test_forced_cooperation_needs_the_three_weakest_players():
    env = Foraging(500, players=4, max_num_food=1, force_coop=True)
    env.reset(np.random.default_rng(0))
    np.testing.assert_array_equal(env.food_levels[:, 0], np.sort(env.levels, axis=1)[:, :3].sum(axis=1))


def test_a_field_without_room_gets_less_food():
    env = Foraging(200, field_size=[3, 3], players=1, max_num_food=2)
    env.reset(np.random.default_rng(0))
    assert set((env.food_levels > 0).sum(axis=1)) == {0, 1}  # one inner cell, where the player may be


@pytest.mark.parametrize("option", ["lbf_8x8_2p_2f_coop", "lbf_10x10_3p_3f"])
def test_options_have_the_settings_of_lbforaging(option):
    settings = {key: value for key, value in read_config(option, []).items() if key != "_target_"}
    expected = SETTINGS[option.removeprefix("lbf_")]
    assert {**settings, "field_size": tuple(settings["field_size"])} == {**expected, "shared_reward": True}
    check_env(lambda num_matches: instantiate(read_config(option, []), num_matches), steps=60)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"field_size": 8}, r"env.field_size must be \[rows, columns\], not 8"),
        ({"field_size": [8, 2]}, "env.field_size must be an integer >= 3, not 2"),
        ({"players": 0}, r"env.players must be an integer in \[1, 64\], not 0"),
        ({"max_num_food": 0}, "env.max_num_food must be an integer >= 1, not 0"),
        ({"sight": 1.5}, "env.sight must be an integer >= 1, not 1.5"),
        ({"max_episode_steps": None}, "env.max_episode_steps must be an integer >= 1, not None"),
        ({"min_player_level": 3}, "env.max_player_level must be an integer >= 3, not 2"),
        ({"min_food_level": 3}, r"env.min_food_level must be an integer in \[1, 2\], not 3"),
        ({"min_food_level": 3, "max_food_level": 2}, r"env.min_food_level must be an integer in \[1, 2\], not 3"),
        ({"max_food_level": 0}, "env.max_food_level must be an integer >= 1, not 0"),
        ({"force_coop": "yes"}, "env.force_coop must be true or false, not yes"),
        ({"normalize_reward": None}, "env.normalize_reward must be true or false, not None"),
        ({"shared_reward": 1}, "env.shared_reward must be true or false, not 1"),
        ({"penalty": -0.1}, "env.penalty must be a number >= 0, not -0.1"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_key(settings, message):
    with pytest.raises(ValueError, match=message):
        Foraging(1, **settings)


def test_no_matches_give_empty_observations():
    env, none = start([(0, 0), (3, 2)], [1, 1], (3, 3), 1), np.zeros(0, np.int64)
    assert env.observe(none, none).shape == (0, 9) and env.state(none).shape == (0, 18)


def test_an_illegal_action_is_an_error():
    env = start([(0, 0), (3, 2)], [1, 1], (3, 3), 1)
    with pytest.raises(ValueError, match="foraging: illegal action 6 of player_1 in match 0: not one of 0..5"):
        play(env, 0, 6)

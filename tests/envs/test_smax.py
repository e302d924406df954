"""SMAX, step for step against jaxmarl: recorded matches, and live ones if it is installed; and cases by hand."""

import numpy as np
import pytest

from marl_app.envs.batched import Step
from marl_app.envs.smax import MODES, Smax
from marl_app.envs.smax_enemy import HeuristicEnemy
from marl_app.envs.smax_units import SCENARIOS
from marl_app.envs.smax_world import TICKS, World, push_apart
from tests.envs import smax_record

TOLERANCE = 1e-5
"""Absolute. Positions are at most 32, of which the next float32 is 2e-6 away."""
LIVE_TOLERANCE = 3e-5
"""Of live matches: within a step, a crowd makes more of rounding once in some thousand steps (1.15e-5 was seen)."""
CASES = [(scenario, mode) for scenario in SCENARIOS for mode in MODES]


def recorded(scenario: str, mode: str) -> dict[str, np.ndarray]:
    """Return the recorded matches of a scenario."""
    start = f"{scenario}/{mode}/"
    with np.load(smax_record.PATH) as file:
        return {key.removeprefix(start): file[key] for key in file.files if key.startswith(start)}


def compare_replay(
    scenario: str, mode: str, matches: dict[str, np.ndarray], tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Replay matches with their actions and random numbers; returns the largest differences.

    Positions are compared, and then copied, in each step. Otherwise rounding adds up in a crowd, where all push all:
    XLA rounds some pairs of a product and a sum once where numpy rounds twice, others not, depending on shapes. Eight
    steps without a copy make 1e-4 in 27m_vs_30m. Health, cooldowns and the targets of the scripted enemy are
    never copied.
    """
    count = len(matches["lengths"])
    env = Smax(count, scenario, mode)
    env.start(np.arange(count), matches["positions"][0], matches["types"].astype(np.int64))
    env.world.positions = matches["positions"][0].copy()  # `start` has pushed units apart that jaxmarl pushed before
    if env.enemy is not None:
        env.enemy.start(np.arange(count))
    worst: dict[str, float] = {}
    view = 0  # index into `times`
    for time in range(len(matches["actions"]) + 1):
        running = np.flatnonzero(matches["lengths"] >= time)
        if time in matches["times"]:
            compare_views(env, matches, view, running, worst, tolerance)
            view += 1
        compare(worst, "positions", env.world.positions[running], matches["path"][time][running], tolerance)
        env.world.positions = matches["path"][time].copy()
        if time == len(matches["actions"]):
            break
        # float32 [B, units, ...]: of matches that are over, the actions are 0.
        step = env.play(
            matches["actions"][time].astype(np.int64), matches["jitter"][time].swapaxes(0, 1), matches["draws"][time]
        )
        running = np.flatnonzero(matches["lengths"] > time)
        compare(worst, "rewards", step.rewards[running], matches["rewards"][time][running], tolerance)
        np.testing.assert_array_equal(step.over[running], matches["lengths"][running] == time + 1)
        # jaxmarl has only `done`: the match was truncated if units of both sides are alive.
        both_alive = env.world.alive[:, : env._allies].any(axis=1) & env.world.alive[:, env._allies :].any(axis=1)
        np.testing.assert_array_equal(step.truncated[running, 0], (step.over & both_alive)[running])
    assert view == len(matches["times"])
    return worst


def compare_views(
    env: Smax, matches: dict[str, np.ndarray], view: int, running: np.ndarray, worst: dict, tolerance: float
) -> None:
    """Compare states of units, observations, masks and the global state of the running matches."""
    world = env.world
    np.testing.assert_array_equal(world.alive[running], matches["alive"][view][running])
    for key in ("positions", "health", "cooldowns"):
        compare(worst, key, getattr(world, key)[running], matches[key][view][running], tolerance)
    compare(worst, "states", env.state(running), matches["states"][view][running], tolerance)
    units = matches["units"][view].astype(np.int64)
    rows = running.repeat(len(units)), np.tile(units, len(running))
    observed = env.observe(*rows)  # of enemies in the mode "heuristic", too: it decides by them
    seen = matches["observations"][view][running].reshape(len(observed), -1)
    compare(worst, "observations", observed, seen, tolerance)
    for group in env.groups:
        rows = running.repeat(len(group.agents)), np.tile(group.agents, len(running))
        masks = env.action_mask(*rows)
        expected = matches["masks"][view][running][:, group.agents, : group.mask_size]
        np.testing.assert_array_equal(masks, expected.reshape(masks.shape))


def compare(worst: dict[str, float], key: str, ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=key)
    difference = np.abs(ours - theirs).max(initial=0)
    worst[key] = max(worst.get(key, 0.0), float(difference))


@pytest.mark.parametrize(("scenario", "mode"), CASES)
def test_recorded_matches_are_reproduced(scenario, mode):
    compare_replay(scenario, mode, recorded(scenario, mode))


def test_the_recorded_matches_cover_the_special_cases():
    everything = [recorded(*case) for case in CASES]
    assert {"3m", "27m_vs_30m", "smacv2_20_units"} <= set(smax_record.SCENARIOS) == set(SCENARIOS)
    lengths = np.concatenate([matches["lengths"] for matches in everything])
    assert (lengths == 101).any() and (lengths < 101).any()  # time limits and decided battles
    rewards = np.concatenate([matches["rewards"].ravel() for matches in everything])
    assert rewards.max() >= 1 and rewards.min() == -1  # wins, and losses in self-play
    dead = [matches["health"] == 0 for matches in everything]
    # Deaths at walls: dead units at the edge of the map.
    at_walls = [((m["positions"] <= 0.5) | (m["positions"] >= 31.5)).any(axis=-1) for m in everything]
    assert sum(int((d & w & ~m["alive"]).sum()) for d, w, m in zip(dead, at_walls, everything, strict=True)) > 0
    assert sum(int((d & ~w).sum()) for d, w in zip(dead, at_walls, strict=True)) > 0  # in battle


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "mode"), CASES)
def test_live_matches_of_jaxmarl_are_reproduced(scenario, mode):
    pytest.importorskip("jaxmarl")
    for seed in range(100, 105):
        matches = smax_record.record(scenario, mode, 4, seed)
        everything = smax_record.thin(matches, 1, matches["health"].shape[2], seed=0)
        compare_replay(scenario, mode, everything, LIVE_TOLERANCE)


def duel(mode: str = "self_play", **settings) -> Smax:
    """Return a match of three pairs of marines; those of a pair are 4 apart, so in range of only each other."""
    env = Smax(1, "3m", mode, **settings)
    positions = np.array([[(10, 4), (10, 16), (10, 28), (14, 4), (14, 16), (14, 28)]], np.float32)
    env.start(np.array([0]), positions, np.zeros((1, 6), np.int64))
    return env


def play(env: Smax, *actions: int) -> Step:
    """Play a step without jitter."""
    jitter = np.zeros((TICKS, env.num_matches, 6), np.float32)
    return env.play(np.array([actions]), jitter, np.ones((env.num_matches, 3), np.float32))


def test_two_marines_in_range_kill_each_other():
    # A marine takes 9 of 45 health. It attacks in tick 0 and then has a cooldown of 0.61 s, which falls by 1/16 s in
    # each later tick: -0.015 after 10 of them, so it attacks in ticks 0, 11, 22, 33 and 44. A step has 8 ticks.
    env = duel()
    for health in (36, 27, 18, 18, 9):
        # Ally i attacks enemy i with 5 + i; enemies count allies backward.
        step = play(env, 5, 6, 7, 7, 6, 5)
        assert env.world.health[0].tolist() == [health] * 6 and not step.over[0]
    step = play(env, 5, 6, 7, 7, 6, 5)  # all die in one tick: a draw
    assert step.terminated.all() and (step.rewards == 0).all() and not env.world.alive.any()
    assert env.scores(np.array([0])).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(("allies_attack", "expected"), [(True, [1, 0]), (False, [0, 1])])
def test_a_win_is_worth_one_and_a_loss_minus_one(allies_attack, expected):
    env = duel()
    attack, stop = (5, 6, 7) if allies_attack else (7, 6, 5), (4, 4, 4)
    for _ in range(6):
        step = play(env, *(attack + stop if allies_attack else stop + attack))
    assert env.scores(np.array([0])).tolist() == [expected]
    win = 1 if allies_attack else -1
    assert step.terminated.all() and step.rewards.tolist() == [[win] * 3 + [-win] * 3]


def test_the_reward_is_the_share_of_health_taken_and_one_for_a_win():
    env = duel(use_self_play_reward=False)
    rewards = [play(env, 5, 6, 4, 4, 4, 4).rewards[0] for _ in range(2)]
    # In each of the first two steps (ticks 0 and 11) two of three enemies lose 9 of 45 health.
    np.testing.assert_allclose(rewards, [[2 / 3 * 9 / 45] * 3 + [0] * 3] * 2, rtol=1e-6)
    for _ in range(20):
        step = play(env, 5, 6, 7, 4, 4, 4)
        if step.over[0]:
            break
    np.testing.assert_allclose(step.rewards, [[1 + 1 / 3 * 9 / 45] * 3 + [0] * 3], rtol=1e-6)  # the last attack


def test_an_attack_out_of_range_is_not_legal_and_does_nothing():
    env = duel()
    mask = env.action_mask(np.zeros(6, np.int64), np.arange(6)).astype(int)
    assert mask[0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0] and mask[3].tolist() == [1, 1, 1, 1, 1, 0, 0, 1]
    play(env, 6, 4, 4, 4, 4, 4)
    assert (env.world.health == 45).all()


def test_walls_kill_and_dead_units_can_only_stop_and_see_nothing():
    env = duel()
    env.world.positions[0, 0] = 0.1, 4  # a marine moves 0.2 in a tick
    step = play(env, 3, 4, 4, 4, 4, 4)
    assert env.world.alive[0].tolist() == [False] + [True] * 5 and not step.over[0]
    assert env.action_mask(np.array([0]), np.array([0])).tolist() == [[False] * 4 + [True] + [False] * 3]
    rows = env.observe(np.zeros(6, np.int64), np.arange(6))
    assert not rows[0].any() and rows[1].any()
    assert not rows[1, :13].any()  # ally_1 sees nothing of ally_0
    before = env.world.positions[0, 0].copy()
    play(env, 1, 4, 4, 4, 4, 4)
    assert (env.world.positions[0, 0] == before).all()


def test_overlapping_units_move_apart_by_half_of_the_overlap_each():
    # Radii 0.375: the pair is 0.25 apart and overlaps by 0.5. The dead unit at the same place is not in the way.
    positions = np.array([[(10, 10), (10.25, 10), (10, 10)]], np.float32)
    radius, contact = np.full((1, 3), 0.375, np.float32), np.full((1, 3, 3), 0.75**2, np.float32)
    contact[0, np.arange(3), np.arange(3)] = 0
    moved = push_apart(positions, np.array([[True, True, False]]), radius, contact)
    np.testing.assert_allclose(moved[0], [(9.75, 10), (10.5, 10), (10, 10)], atol=1e-5)


def test_the_scripted_enemy_keeps_its_target_and_follows_a_unit_that_it_sees():
    world = World(1, 3)  # two allies, which enemies list backward, and an enemy
    world.place(np.array([0]), np.array([[(10, 16), (10, 20), (13, 17)]], np.float32), np.zeros((1, 3), np.int64))
    enemy, draws = HeuristicEnemy(world, 2, np.array([1, 0])), np.ones((1, 1), np.float32)
    enemy.start(np.array([0]))
    assert enemy.choose(draws).tolist() == [[6]]  # the closest: ally 0, the second in its list
    world.positions[0, 1] = 13, 18
    assert enemy.choose(draws).tolist() == [[6]]  # another one is closer now
    world.alive[0, 0] = False
    assert enemy.choose(draws).tolist() == [[5]]
    world.positions[0, 1] = 13, 24  # in sight (9), not in range (5)
    assert enemy.choose(draws).tolist() == [[0]]
    world.positions[0, 1] = 13, 30  # not in sight: toward (32, 32) - its start
    assert enemy.choose(draws).tolist() == [[1]]


@pytest.mark.parametrize("scenario", ["3s5z", "5m_vs_6m", "smacv2_5_units"])
def test_self_play_keeps_the_contract_and_is_zero_sum(scenario):
    from marl_app.envs.checker import check_env

    report = check_env(lambda num_matches: Smax(num_matches, scenario, "self_play"), steps=110)
    assert len(report.sides) == 2
    assert len(report.groups) == 1 + (scenario == "5m_vs_6m")
    env, rng = Smax(64, scenario, "self_play"), np.random.default_rng(0)
    env.reset(rng)
    returns, ended = np.zeros((64, 2)), np.zeros(64, bool)
    while not ended.all():
        # Moves to the right and left: walls kill.
        actions = [rng.integers(1, 4, (64, len(group.agents))) for group in env.groups]
        step = env.step(actions, rng)
        assert (step.rewards[:, 0] == -step.rewards[:, -1])[~ended].all()
        returns += step.rewards[:, [0, -1]] * ~ended[:, None]
        new = step.over & ~ended
        np.testing.assert_array_equal(env.scores(np.flatnonzero(new)), 0.5 + returns[new] / 2)
        ended |= step.over


def test_a_match_is_truncated_in_the_step_after_the_time_limit():
    env = duel(max_steps=3)
    steps = [play(env, 4, 4, 4, 4, 4, 4) for _ in range(4)]
    assert [bool(step.over[0]) for step in steps] == [False, False, False, True]
    assert steps[-1].truncated.all() and env.scores(np.array([0])).tolist() == [[0.5, 0.5]]


def test_units_start_around_their_centers():
    env = Smax(500, "8m")
    env.reset(np.random.default_rng(0))
    allies, enemies = env.world.positions[:, :8], env.world.positions[:, 8:]
    # At most 2 from the center in x and in y; pushes move units of a crowd out by less than another cell.
    assert np.abs(allies - (8, 16)).max() < 3 and np.abs(enemies - (24, 16)).max() < 3
    np.testing.assert_allclose(allies.mean(axis=(0, 1)), (8, 16), atol=0.1)


def test_smacv2_draws_types_for_both_sides_and_starts_in_two_ways():
    env = Smax(4000, "smacv2_5_units")
    env.reset(np.random.default_rng(0))
    types, positions = env.world.types, env.world.positions
    assert (types[:, :5] == types[:, 5:]).all()
    np.testing.assert_allclose(np.bincount(types.ravel()) / types.size, 1 / 6, atol=0.01)
    # Reflected matches: x adds up to 32 within each pair, but for pushes. In the others one side is in the center.
    reflected = (np.abs(positions[:, :5, 0] + positions[:, 5:, 0] - 32) < 1e-3).sum(axis=1) >= 3
    assert abs(reflected.mean() - 0.5) < 0.1
    for side in (positions[:, :5], positions[:, 5:]):
        inside = (np.abs(side - 16).max(axis=(1, 2)) < 4) & ~reflected
        assert abs(inside.mean() - 0.25) < 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scenario": "4m"}, "env.scenario must be one of 3m, 8m, 25m,.* not 4m"),
        ({"mode": "coop"}, "env.mode must be one of heuristic, self_play, not coop"),
        ({"max_steps": 0}, "env.max_steps must be an integer >= 1, not 0"),
        ({"use_self_play_reward": 1}, "env.use_self_play_reward must be true or false, not 1"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_key(settings, message):
    with pytest.raises(ValueError, match=message):
        Smax(1, **settings)


def test_an_illegal_action_is_an_error():
    env = duel()
    with pytest.raises(ValueError, match="smax: illegal action 8 of ally_1 in match 0: not one of 0..7"):
        env.step([np.array([[0, 8, 0, 0, 0, 0]])], np.random.default_rng(0))


def test_actions_have_names_and_pictures_show_what_a_unit_sees():
    env = duel()
    names = [[env.action_name(0, agent, action) for action in range(8)] for agent in (0, 3)]
    assert names[0] == ["up", "right", "down", "left", "stop", "attack enemy_0", "attack enemy_1", "attack enemy_2"]
    assert names[1][5:] == ["attack ally_2", "attack ally_1", "attack ally_0"]
    whole, seen = env.render(0), env.render(0, 0)
    drawn = [(picture != 250).any(axis=2).sum() for picture in (whole, seen)]
    # Six equal circles, and the two of the pair that the unit sees (others are 12 away), with a rim.
    assert whole.shape == (416, 416, 3) and drawn[0] / 6 * 2 < drawn[1] < drawn[0]

"""The particle environments, step for step against mpe2's."""

import mpe2.simple_speaker_listener_v4
import mpe2.simple_spread_v3
import mpe2.simple_tag_v3
import numpy as np
import pytest

from marl_app.envs.checker import check_env
from marl_app.envs.particles import contact_forces
from marl_app.envs.random_play import random_actions
from marl_app.envs.simple_speaker_listener import SimpleSpeakerListener
from marl_app.envs.simple_spread import SimpleSpread
from marl_app.envs.simple_tag import SimpleTag

PAIRS = [
    (SimpleSpread, mpe2.simple_spread_v3, {}),
    (SimpleSpread, mpe2.simple_spread_v3, {"N": 1}),
    (SimpleSpread, mpe2.simple_spread_v3, {"N": 5, "local_ratio": 0.2, "max_cycles": 60}),
    (SimpleTag, mpe2.simple_tag_v3, {"max_cycles": 60}),
    (SimpleTag, mpe2.simple_tag_v3, {"num_good": 2, "num_adversaries": 4, "num_obstacles": 1}),
    (SimpleTag, mpe2.simple_tag_v3, {"num_good": 1, "num_adversaries": 1, "num_obstacles": 0}),
    (SimpleSpeakerListener, mpe2.simple_speaker_listener_v4, {}),
]
MODES = pytest.mark.parametrize("continuous", [False, True], ids=["discrete", "continuous"])


def copy_positions(env, originals):
    """Copy positions (and goals, if the game has them) from mpe2's matches."""
    for match, original in enumerate(originals):
        world = original.unwrapped.world
        env.positions[match] = [entity.state.p_pos for entity in world.entities]
        if isinstance(env, SimpleSpeakerListener):
            env.goals[match] = world.landmarks.index(world.agents[0].goal_b)


def move_closer(env, originals):
    """Move the bodies of both versions closer together, so that they collide; few do at random positions."""
    for original in originals:
        for entity in original.unwrapped.world.entities:
            entity.state.p_pos *= 0.15
    copy_positions(env, originals)


@MODES
@pytest.mark.parametrize("play", ["random", "crowded", "runaway"])
@pytest.mark.parametrize(("native", "module", "settings"), PAIRS)
def test_every_step_equals_mpe2(native, module, settings, play, continuous):
    batch, rng = 5, np.random.default_rng(3)
    settings = {**settings, "continuous_actions": continuous}
    env, originals = native(batch, **settings), [module.parallel_env(**settings) for _ in range(batch)]
    first = originals[0]
    assert env.agents == tuple(first.possible_agents)
    for group in env.groups:
        for agent in group.agents:
            assert group.observation_space == first.observation_space(env.agents[agent])
            assert group.action_space == first.action_space(env.agents[agent])
    assert env.state_space == first.state_space
    env.reset(rng)
    for seed, original in enumerate(originals):
        original.reset(seed=seed)
    copy_positions(env, originals)
    if play == "crowded":
        move_closer(env, originals)
    touched = 0
    for cycle in range(settings.get("max_cycles", 25)):
        compare_views(env, originals)
        actions = random_actions(env, rng)
        if play == "runaway":  # to the right, at full speed and beyond the edge
            for array in actions:
                array[...] = np.eye(array.shape[-1])[2] if continuous else 2
        step = env.step(actions, rng)
        chosen = {}
        for group, columns in zip(env.groups, actions, strict=True):
            chosen.update({env.agents[agent]: columns[:, place] for place, agent in enumerate(group.agents)})
        for match, original in enumerate(originals):
            moves = {name: rows[match] if continuous else int(rows[match]) for name, rows in chosen.items()}
            _, rewards, _, truncations, _ = original.step(moves)
            np.testing.assert_allclose(
                step.rewards[match], [rewards[name] for name in env.agents], rtol=1e-5, atol=1e-5
            )
            assert list(truncations.values()) == step.truncated[match].tolist()
        assert (step.over == (cycle + 1 == settings.get("max_cycles", 25))).all()
        assert not step.terminated.any()
        touched += np.abs(contact_forces(env.positions[:, : len(env._sizes)], env._sizes, len(env.agents))).max() > 0.1
    compare_views(env, originals)
    assert touched or play != "crowded" or len(env._sizes) < 2  # the comparison must cover collisions


def compare_views(env, originals):
    """Compare observations and state with mpe2's."""
    matches = np.arange(len(originals))
    states = np.stack([original.state() for original in originals])
    np.testing.assert_allclose(env.state(matches), states, rtol=1e-5, atol=1e-5)
    for agent, name in enumerate(env.agents):
        observed = env.observe(matches, np.full(len(originals), agent))
        expected = np.stack([original.aec_env.observe(name) for original in originals])
        np.testing.assert_allclose(observed, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("native", "module", "settings"), PAIRS)
def test_initial_positions_have_the_distribution_of_mpe2(native, module, settings):
    # Uniform in a square, [-1, 1] for all but the obstacles of simple_tag, [-0.9, 0.9].
    env = native(4000, **settings)
    env.reset(np.random.default_rng(0))
    original = module.parallel_env(**settings)
    positions = []
    for seed in range(300):
        original.reset(seed=seed)
        positions.append([entity.state.p_pos for entity in original.unwrapped.world.entities])
    reach = np.abs(positions).max(axis=(0, 2))
    np.testing.assert_allclose(np.abs(env.positions).max(axis=(0, 2)), reach, atol=0.02)
    np.testing.assert_allclose(env.positions.mean(axis=0), 0, atol=0.05)
    assert (env.velocities == 0).all()


def test_goals_are_uniform_and_a_reset_clears_the_last_word():
    env, rng = SimpleSpeakerListener(3000), np.random.default_rng(0)
    env.reset(rng)
    np.testing.assert_allclose(np.bincount(env.goals) / 3000, 1 / 3, atol=0.03)
    env.step([np.full((3000, 1), 2), np.zeros((3000, 1), np.int64)], rng)
    listeners = np.ones(2, np.int64)
    assert env.observe(np.arange(2), listeners)[:, 8:].tolist() == [[0, 0, 1]] * 2
    env.reset(rng, np.array([0]))
    assert env.observe(np.arange(2), listeners)[:, 8:].tolist() == [[0, 0, 0], [0, 0, 1]]


@MODES
@pytest.mark.parametrize("native", [SimpleSpread, SimpleTag, SimpleSpeakerListener])
def test_the_contract_is_kept(native, continuous):
    report = check_env(lambda num_matches: native(num_matches, continuous_actions=continuous), steps=60)
    assert report.mean_length == 25


def test_sides():
    assert SimpleSpread(1).sides == ((0, 1, 2),)
    assert SimpleSpeakerListener(1).sides == ((0, 1),)
    assert SimpleTag(1).sides == ((0, 1, 2), (3,))


def test_a_contact_wins_a_match_of_tag_and_no_contact_is_a_draw():
    env, rng = SimpleTag(2, num_obstacles=0, max_cycles=1), np.random.default_rng(0)
    env.reset(rng)
    env.positions[:] = np.array([(0, 0), (0.5, 0.5), (-0.5, 0.5), (0.8, -0.8)])
    env.positions[0, 3] = 0.1, 0.0  # within 0.125 of adversary_0, only in match 0
    step = env.step([np.zeros((2, 3), np.int64), np.zeros((2, 1), np.int64)], rng)
    assert step.rewards.tolist() == [[10, 10, 10, -10], [0, 0, 0, 0]]
    assert env.scores(np.arange(2)).tolist() == [[1, 0], [0.5, 0.5]]


def test_two_bodies_at_one_point_stay_finite():
    env, rng = SimpleSpread(1), np.random.default_rng(0)
    env.reset(rng)
    env.positions[:] = 0
    step = env.step([np.zeros((1, 3), np.int64)], rng)
    assert np.isfinite(step.rewards).all() and np.isfinite(env.positions).all()


@pytest.mark.parametrize(
    ("native", "settings", "message"),
    [
        (SimpleSpread, {"local_ratio": 2}, r"env.local_ratio must be a number in \[0, 1\], not 2"),
        (SimpleSpread, {"local_ratio": None}, r"env.local_ratio must be a number in \[0, 1\], not None"),
        (SimpleSpread, {"N": 0}, "env.N must be an integer >= 1, not 0"),
        (SimpleSpread, {"continuous_actions": 1}, "env.continuous_actions must be true or false, not 1"),
        (SimpleTag, {"max_cycles": 2.5}, "env.max_cycles must be an integer >= 1, not 2.5"),
        (SimpleTag, {"num_obstacles": -1}, "env.num_obstacles must be an integer >= 0, not -1"),
        (SimpleTag, {"num_good": 0}, "env.num_good must be an integer >= 1, not 0"),
        (SimpleTag, {"num_adversaries": True}, "env.num_adversaries must be an integer >= 1, not True"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_key(native, settings, message):
    with pytest.raises(ValueError, match=message):
        native(1, **settings)


@pytest.mark.parametrize(
    ("continuous", "action", "message"),
    [
        (False, 5, "simple_spread: illegal action 5 of agent_1 in match 1: not one of 0..4"),
        (False, -1, "simple_spread: illegal action -1 of agent_1 in match 1: not one of 0..4"),
        (True, 1.5, r"simple_spread: illegal action \[.*1.5.*\] of agent_1 in match 1: outside \[0, 1\]"),
        (True, np.nan, r"simple_spread: illegal action \[.*nan.*\] of agent_1 in match 1: outside \[0, 1\]"),
    ],
)
def test_an_action_outside_its_space_is_an_error(continuous, action, message):
    env, rng = SimpleSpread(2, continuous_actions=continuous), np.random.default_rng(0)
    env.reset(rng)
    actions = random_actions(env, rng)
    actions[0][:] = 0
    actions[0][(1, 1, 2) if continuous else (1, 1)] = action
    with pytest.raises(ValueError, match=message):
        env.step(actions, rng)

"""Spaces, groups and group names of the PettingZoo adapter."""

import numpy as np
import pytest
from gymnasium import spaces

from marl_app.envs.pettingzoo_spaces import group_seats, make_seat

MOVES = spaces.Discrete(3)


def test_a_plain_box_keeps_shape_and_dtype():
    seat = make_seat("a", spaces.Box(0, 255, (4, 4, 3), np.uint8), MOVES)
    assert seat.observation_space == spaces.Box(0, 255, (4, 4, 3), np.uint8)


def test_float64_becomes_float32_and_contains_its_bounds():
    seat = make_seat("a", spaces.Box(-0.1, np.finfo(np.float64).max, (2,), np.float64), MOVES)
    assert seat.observation_space.dtype == np.float32
    assert seat.observation_space.contains(seat.encode_observation(np.array([-0.1, 7.0])))


def test_the_mask_is_taken_out_of_the_observation():
    board = spaces.Box(0, 1, (3, 3), np.int8)
    mask = spaces.Box(0, 1, (3,), np.int8)
    seat = make_seat("a", spaces.Dict({"observation": board, "action_mask": mask}), MOVES)
    assert seat.observation_space == board
    raw = {"observation": np.ones((3, 3), np.int8), "action_mask": np.ones(3, np.int8)}
    np.testing.assert_array_equal(seat.encode(raw)[0], raw["observation"])


def test_structured_observations_are_flattened_in_gymnasiums_order():
    space = spaces.Dict({"kind": spaces.Discrete(3), "at": spaces.Box(-1, 1, (2,), np.float64)})
    seat = make_seat("a", space, MOVES)
    assert seat.observation_space.shape == (5,)
    # Keys in alphabetical order: "at", then "kind" as one-hot.
    flat = seat.encode_observation({"at": np.array([0.5, -1.0]), "kind": 2})
    np.testing.assert_array_equal(flat, np.array([0.5, -1, 0, 0, 1], np.float32))
    assert flat.dtype == np.float32


def test_actions_start_from_zero_and_are_converted_for_the_environment():
    assert make_seat("a", MOVES, spaces.Discrete(3, start=5)).decode_action(np.int64(2)) == 7
    seat = make_seat("a", MOVES, spaces.MultiDiscrete([2, 3], start=[1, 10]))
    assert seat.action_space == spaces.MultiDiscrete([2, 3])
    assert seat.decode_action(np.array([1, 0])).tolist() == [2, 10]
    seat = make_seat("a", MOVES, spaces.Box(-0.1, 0.1, (1,), np.float64))
    assert seat.action_space.dtype == np.float32
    # 0.1 in float32 is slightly larger than in float64.
    assert spaces.Box(-0.1, 0.1, (1,), np.float64).contains(seat.decode_action(np.array([0.1], np.float32)))


@pytest.mark.parametrize(
    ("observation", "action"),
    [
        (spaces.Sequence(MOVES), MOVES),
        (MOVES, spaces.Dict({"move": MOVES})),
        (MOVES, spaces.MultiBinary(2)),
        (MOVES, spaces.Box(0, 9, (1,), np.int64)),
    ],
)
def test_unsupported_spaces_are_an_error_that_names_the_agent(observation, action):
    with pytest.raises(ValueError, match="agent walker_3:"):
        make_seat("walker_3", observation, action)


def test_groups_are_named_by_the_common_prefix_of_their_agents():
    names = ["adversary_0", "adversary_1", "agent_0", "left-wing", "right", "agent_1"]
    sizes = [4, 4, 3, 5, 5, 2]  # observation lengths: agents with equal lengths share a group
    groups = group_seats([make_seat(n, spaces.Box(0, 1, (s,)), MOVES) for n, s in zip(names, sizes, strict=True)])
    # "left-wing" and "right" have no common prefix; the two groups of "agent" need different names.
    assert [(group.name, group.agents) for group in groups] == [
        ("adversary", (0, 1)),
        ("agent", (2,)),
        ("agents", (3, 4)),
        ("agent_2", (5,)),
    ]


def test_characters_are_numbered_by_their_order_not_by_that_of_a_set():
    # Gymnasium's own order depends on the hash seed of the process.
    space = spaces.Dict({"word": spaces.Text(3, charset="cab"), "more": spaces.Tuple([spaces.Text(2, charset="zy")])})
    seat = make_seat("a", space, spaces.Discrete(2))
    assert seat.encode_observation({"word": "abc", "more": ("yz",)}).tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize(
    ("space", "observation", "problem"),
    [
        # Gymnasium's flatten would make the one-hot of 4 of it: index 0 - 1 is the last one.
        (spaces.Discrete(4, start=1), 0, "it has the value 0"),
        # ... here of the first choice of the second number, and none of the first.
        (spaces.MultiDiscrete([2, 3]), np.array([2, 0]), "it has the value 2"),
        (spaces.MultiBinary(2), np.array([0, 2]), "it has the value 2"),
        (spaces.Dict({"see": spaces.Box(0, 255, (2,), np.uint8)}), {"see": np.array([0.5, 1])}, "its 'see' has .*0.5"),
        (spaces.Dict({"see": spaces.Box(0, 255, (1,), np.uint8)}), {"see": np.array([300])}, "its 'see' has .*300"),
        (spaces.Dict({"see": spaces.Box(0, 1, (2, 3))}), {"see": np.zeros((3, 2))}, r"its 'see' .* shape \(2, 3\)"),
        (spaces.Dict({"hp": MOVES}), {"hp": 1, "mana": 2}, "it has 'mana' besides"),
        (spaces.Dict({"hp": MOVES, "mana": MOVES}), {"hp": 1}, "it lacks 'mana'"),
        # Together the parts have the right size.
        (spaces.Tuple([spaces.MultiBinary(3), spaces.MultiBinary(2)]), ([1, 0], [1, 0, 1]), "its part 0"),
    ],
)  # fmt: skip
def test_a_structured_observation_that_does_not_fit_is_refused(space, observation, problem):
    with pytest.raises(ValueError, match=f"the observation of agent 'a' does not fit its space: {problem}"):
        make_seat("a", space, MOVES).encode_observation(observation)

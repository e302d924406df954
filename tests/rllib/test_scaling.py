"""Scaling of observations by the bounds of their space: which numbers, and that networks learn from images."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces

from marl_app.assembly.training import check_size
from marl_app.config.errors import ConfigError
from marl_app.players.central_state import CentralState
from marl_app.players.encoding import build_modules, difference, player_metadata
from marl_app.players.modules.cnn import CNN
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.scale import description, scaling_of
from marl_app.players.networks import Network
from tests.rllib.games import Bright
from tests.rllib.runs import running, watch_messages

INF = np.inf
BYTES = spaces.Box(0, 255, (3,), np.uint8)
FOUR = spaces.Discrete(4)
BRIGHT = ("league/matchmaker=latest", "env=two_step", "env._target_=tests.rllib.games.Bright", "algorithm.lr=5e-3")
SMALL = MLP(hidden=[6], precision="float32", vf_share_layers=False)


@pytest.mark.parametrize(
    ("space", "value", "scaled"),
    [
        (BYTES, [0, 51, 255], [0, 0.2, 1]),
        (spaces.Box(100, 200, (3,), np.int32), [100, 125, 200], [0, 0.25, 1]),
        (spaces.Box(-128, 127, (3,), np.int8), [-128, -0.5, 127], [-1, 0, 1]),
        (spaces.Box(0, 1000, (3,), np.float32), [0, 250, 1000], [0, 0.25, 1]),
        # Only some numbers: the first has large bounds, the second has none, the third is small already.
        (spaces.Box(np.float32([0, -INF, -5]), np.float32([50, INF, 5])), [25, 1000, -5], [0.5, 1000, -5]),
        (spaces.Box(np.array([7, 0, 0]), np.array([7, 1, 1]), dtype=np.int64), [7, 1, 0], [0, 1, 0]),  # 7 cannot vary
    ],
)
def test_numbers_with_large_bounds_are_scaled(space, value, scaled):
    np.testing.assert_allclose(scaling_of(space)(np.array(value)), scaled, atol=1e-6)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 1, (3, 3, 2), np.int8),  # a board
        spaces.Box(-1, 1, (3,), np.int8),
        spaces.Box(-5, 5, (3,), np.float32),  # velocities and such
        spaces.Box(-INF, INF, (3,), np.float32),
        spaces.Box(-3e38, 3e38, (3,), np.float32),  # a placeholder
        spaces.Box(0, 2**31 - 1, (3,), np.int32),
    ],
)
def test_other_numbers_stay_as_they_are(space):
    assert scaling_of(space) is None and description(space) is None


def test_the_description_names_bounds_and_target():
    assert description(BYTES) == "from [0, 255] to [0, 1]"
    partly = spaces.Box(np.float32([0, -1]), np.float32([50, 1]))
    assert description(partly) == "1 of 2 numbers, from [0, 50] to [0, 1]"


def build(observations, model=SMALL, **critic):
    return Network("player", (0,), 0, observations, FOUR, **critic).spec(model).build()


@pytest.mark.parametrize("normalize", [False, True])
def test_a_network_on_bytes_is_the_one_on_fractions(normalize):
    model = dataclasses.replace(SMALL, normalize_observations=normalize)
    torch.manual_seed(0)
    of_bytes, of_fractions = build(BYTES, model), build(spaces.Box(0, 1, (3,), np.float32), model)
    # With a layer in front the names of the weights have one more number.
    weights = zip(of_bytes.state_dict(), of_fractions.state_dict().values(), strict=True)
    of_bytes.load_state_dict(dict(weights))
    images = torch.tensor([[0, 51, 255], [255, 0, 102]], dtype=torch.uint8)
    for module, seen in ((of_bytes, images), (of_fractions, images / 255)):
        module.learn_statistics({"obs": seen})
    torch.testing.assert_close(of_bytes.act(images)[0], of_fractions.act(images / 255)[0])
    torch.testing.assert_close(of_bytes.values(images), of_fractions.values(images / 255))


def test_a_central_critic_sees_scaled_observations():
    env = Bright(2)
    env.reset(np.random.default_rng(0))
    rows, finished = np.arange(2), np.zeros((2, 1), np.bool_)
    state = CentralState(env, mask_dead=True, scale=True).states_for(rows, np.zeros(2, np.int64), finished)
    assert sorted(np.unique(state)) == [0, 1]
    unscaled = CentralState(env, mask_dead=True, scale=False).states_for(rows, np.zeros(2, np.int64), finished)
    np.testing.assert_allclose(state, unscaled / 255)
    # The agent's own observation, next to the state, is scaled in the network.
    module = build(BYTES, state_size=4, critic_sees_observation=True)
    joint = module._critic_input(torch.tensor([[0, 255, 51]], dtype=torch.uint8), torch.zeros(1, 4))
    torch.testing.assert_close(joint, torch.tensor([[0, 0, 0, 0, 0, 1, 0.2]]))


def test_a_player_of_an_earlier_version_sees_what_it_was_trained_on():
    # It was saved without the key: its weights are those of a network without scaling.
    network = Network("player", (0,), 0, BYTES, FOUR)
    unscaled = dataclasses.replace(SMALL, scale_observations=False)
    module = network.spec(unscaled).build()
    weights = {f"player/{name}": value.numpy() for name, value in module.state_dict().items()}
    metadata = player_metadata([network], ["a"], unscaled)
    del metadata["model_config"]["scale_observations"]
    seen = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    torch.testing.assert_close(build_modules(weights, metadata)["player"].act(seen)[0], module.act(seen)[0])
    # It differs from a player with scaling here, and not where nothing is scaled.
    now = player_metadata([network], ["a"], SMALL)
    assert difference(metadata, now) == "model.scale_observations: None, not True"
    board = Network("player", (0,), 0, spaces.Box(0, 1, (3,), np.int8), FOUR)
    metadata = player_metadata([board], ["a"], SMALL)
    del metadata["model_config"]["scale_observations"]
    assert difference(metadata, player_metadata([board], ["a"], SMALL)) is None


def test_learning_from_images_of_bytes(tmp_path):
    # Without scaling the KL divergence of the first update is 5, and the return stays at 0.5 or 0.
    with running(tmp_path, *BRIGHT) as algorithm:
        first = algorithm.train()["learners"]["main"]["approx_kl"]
        for _ in range(15):
            algorithm.train()
        assert first < 0.1
        assert algorithm.report["matches/return"] > 0.95


def test_the_run_says_once_what_is_scaled(tmp_path):
    with running(tmp_path, *BRIGHT) as algorithm:
        text = "observations of player are scaled from [0, 255] to [0, 1] (model.scale_observations)"
        assert algorithm.messages_at_start.count(text) == 1
        messages = watch_messages(algorithm)
        algorithm.train()
        assert not [message for message in messages if "scaled" in message]


# Convolutions.


def weights_of(space, model):
    return sum(parameter.numel() for parameter in build(space, model).parameters())


def test_images_are_reduced_by_strides_and_boards_keep_their_size():
    model = CNN(hidden=[512], precision="float32")
    # Mnih et al. (2015): 84 x 84 x 4 -> 20 x 20 x 32 -> 9 x 9 x 64 -> 7 x 7 x 64 -> 512, and two heads.
    convolutions = (4 * 64 * 32 + 32) + (32 * 16 * 64 + 64) + (64 * 9 * 64 + 64)
    heads = 512 * 4 + 4 + 512 + 1
    assert weights_of(spaces.Box(0, 255, (84, 84, 4), np.uint8), model) == convolutions + 3136 * 512 + 512 + heads
    # A board of 6 x 7: 64 channels on each of the 42 squares.
    convolutions = (2 * 9 * 64 + 64) + 2 * (64 * 9 * 64 + 64)
    assert weights_of(spaces.Box(0, 1, (6, 7, 2), np.int8), model) == convolutions + 42 * 64 * 512 + 512 + heads


def test_image_filters_are_checked():
    with pytest.raises(ValueError, match=r"model\.image_filters: \[32, 8\] is not \[channels, kernel, stride\]"):
        CNN(image_filters=[[32, 8]])
    with pytest.raises(
        ValueError, match=r"model\.image_filters=.*nothing is left of observations of shape \(40, 40, 3\)"
    ):
        build(spaces.Box(0, 255, (40, 40, 3), np.uint8), CNN(image_filters=[[8, 39, 1], [8, 3, 1]]))


def test_a_network_that_does_not_fit_is_refused_in_a_line():
    network = Network("player", (0,), 0, spaces.Box(0, 255, (4000, 4000, 3), np.uint8), FOUR)
    # 48,000,000 x 2,048 weights of the first layer, and 2,048 x 5 of the heads, with biases.
    with pytest.raises(ConfigError, match=r"network player has 98,304,012,293 weights .* model=cnn for images"):
        check_size(network, MLP(hidden=[2048]))

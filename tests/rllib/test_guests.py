"""Guests in env runners act as they do elsewhere: other networks, bots with a memory, bots that follow the moves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)

from marl_app.assembly.guests import guests
from marl_app.assembly.training import build
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.actions import deterministic_inputs, to_space
from marl_app.players.bots import encode_bot
from marl_app.players.encoding import encode_player
from marl_app.players.modules.mlp import MLP
from marl_app.store.disk import DiskStore
from marl_app.store.reader import Direct, DirectReader
from marl_app.store.store import FACTS
from tests.rllib.games import Names
from tests.rllib.runners import against, collect, make_recorded_runner, publish, random_weights
from tests.rllib.test_matchups import player

NAMES, ME, OTHER = 6, 3, 5


class Counter:
    """A bot that plays the number of the round, counted in its memory, which is 0 at the start of a match."""

    memory_size = 1

    def __init__(self, env):
        pass

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        return memory[:, 0].astype(np.int64) % NAMES, memory + 1


class Listener:
    """A bot that follows the moves and plays how many of them it has received."""

    def __init__(self, env):
        pass

    def start(self, num_matches, rng):
        self.moves = np.zeros(num_matches, np.int64)

    def choose(self, matches, agents):
        return self.moves[matches] % NAMES

    def follow(self, matches, agents, actions):
        np.add.at(self.moves, matches, 1)


def other_network(runner, model):
    """Return the digest of a player with another architecture that always plays OTHER."""
    config = runner.config
    module = config.spec.networks[0].spec(model).build()
    weights = {f"player/{name}": np.zeros(value.shape, np.float32) for name, value in module.state_dict().items()}
    weights["player/policy_head.linear.bias"][OTHER] = 50.0
    return config.spec.store.put(encode_player(weights, config.spec.networks, config.spec.agents, model, {}))


class Shared(Direct):
    """A reader of read-only views, as a cache in shared memory gives them."""

    def reader(self, store):
        reader = DirectReader(store)
        get = reader.get
        reader.get = lambda digest, in_use: memoryview(np.frombuffer(get(digest, in_use), np.uint8))
        return reader


@pytest.mark.parametrize(
    ("model", "cache"),
    [
        (MLP(hidden=[5, 4], activation="tanh", vf_share_layers=False, precision="float32"), Direct()),
        # the same shapes
        (MLP(hidden=[8], activation="relu", vf_share_layers=False, precision="float32"), Shared()),
    ],
)
def test_guests_act_as_elsewhere(tmp_path, model, cache):
    # Up to 6 rounds per match and 4 steps per fragment: matches begin and end at any step. Two slots.
    runner, env = make_recorded_runner(lambda n: Names(n, NAMES, 6), DiskStore(tmp_path), matches=30, steps=4, slots=2)
    runner.config.spec = replace(runner.config.spec, cache=cache)
    runner.make_module()
    me, here = player(runner, ME), "tests.rllib.test_guests."
    digests = {
        "snapshot": publish(runner, player(runner, 1)),
        "other": other_network(runner, model),
        "counter": runner.config.spec.store.put(encode_bot(f"{here}Counter")),
        "listener": runner.config.spec.store.put(encode_bot(f"{here}Listener")),
    }
    # The expected action of each guest in round t.
    plays = {
        "snapshot": lambda t: 1,
        "other": lambda t: OTHER,
        "counter": lambda t: t,
        "listener": lambda t: 2 * t % NAMES,
    }
    names, counts = list(digests), dict.fromkeys(digests, 0)
    for seed in range(24):
        assigned = [names[(seed // 3 + k) % 4] for k in range(2)]
        fragment = collect(runner, me, against(*((digests[name], 0.5) for name in assigned)), seed=seed)
        for reason, wins, losses in zip(
            fragment.reasons, fragment.outcomes.wins, fragment.outcomes.losses, strict=True
        ):
            name = next((name for name, digest in digests.items() if digest == reason.digest), None)
            if name == "snapshot":
                assert not losses
            if name == "other":
                assert not wins
    for match in (match for match in env.matches if match.over):
        moves = [int(actions[1 - match.side]) for actions in match.actions]
        assert {int(actions[match.side]) for actions in match.actions} == {ME}
        fits = [name for name in plays if moves == [plays[name](t) for t in range(len(moves))]]
        assert fits or set(moves) == {ME}  # self-play where no slot was free
        if len(fits) == 1:  # a match of one round may fit two guests
            counts[fits[0]] += 1
    assert min(counts.values()) > 20, counts


def test_a_guest_is_published_once(tmp_path):
    # A player that is in the store already keeps its note of origin.
    store = DiskStore(tmp_path)
    env = TicTacToe(1)
    for name in ("bob", "eve"):
        config = load([f"+league.guests.{name}=random", "env=tic_tac_toe"], output_dir=str(tmp_path / name))
        [guest] = guests(config, env, store)
        assert store.notes(FACTS)[guest.digest]["config"] == {"league.guests.bob": "random"}
    assert len(store.list()) == 1


def test_without_guests_no_moves_are_followed(tmp_path):
    # Only snapshots of the league in the slots.
    runner, _ = make_recorded_runner(lambda n: Names(n, NAMES, 6), DiskStore(tmp_path), matches=8, steps=4, slots=2)
    collect(runner, random_weights(runner, 0), against((publish(runner, player(runner, 1)), 1.0)))
    assert not runner._guests and not runner._guests.has_followers


@pytest.mark.parametrize(
    ("space", "distribution"),
    [
        (spaces.Discrete(5), TorchCategorical),
        (spaces.MultiDiscrete([2, 3, 4]), TorchMultiCategorical.get_partial_dist_cls(input_lens=[2, 3, 4])),
        (spaces.Box(-2, 4, (2, 3), np.float32), TorchDiagGaussian),
        (spaces.Box(-np.inf, np.inf, (2,), np.float32), TorchDiagGaussian),
    ],
    ids=str,
)
def test_an_action_is_recovered_from_its_distribution_inputs(space, distribution):
    space.seed(0)
    actions = np.stack([space.sample() for _ in range(50)])
    sampled = distribution.from_logits(torch.from_numpy(deterministic_inputs(actions, space))).sample().numpy()
    np.testing.assert_allclose(to_space(sampled, space), actions, atol=1e-5)


@pytest.mark.parametrize(("guest", "why"), [("bot", "it is a bot, without weights"), ("network", "model.hidden: ")])
def test_a_reset_to_a_guest_of_other_networks_is_refused_at_the_start(tmp_path, guest, why):
    line = ["+experiment=alphastar", "env=tic_tac_toe", "+league.learners.main_exploiter.reset_to=them"]
    if guest == "network":
        config = build(load(["+experiment=self_play", "env=tic_tac_toe", "model.hidden=[9]"], output_dir=str(tmp_path)))
        weights = {
            f"player/{name}": value.numpy()
            for name, value in config.spec.networks[0].spec(config.spec.architecture).build().state_dict().items()
        }
        spec = config.spec
        data = encode_player(weights, spec.networks, spec.agents, spec.architecture, {"player": "main"})
        digest = DiskStore(tmp_path / "run" / "snapshots").put(data)
        line.append(f"+league.guests.them={digest}")
    else:
        line.append("+league.guests.them=random")
    with pytest.raises(ConfigError, match=f"main_exploiter.reset_to=them: the guest them has other networks .*{why}"):
        build(load(line, output_dir=str(tmp_path / "run")))

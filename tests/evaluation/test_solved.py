"""Value-preserving moves: known shares of players whose moves are known, for every kind of player."""

import numpy as np
import pytest
import torch

from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.matrix_game import MatrixGame
from marl_app.evaluation.solved import value_preserving_moves
from marl_app.players.agent import Agent
from marl_app.players.anchors import make_anchor
from marl_app.players.encoding import encode_player
from marl_app.players.networks import networks_for_env
from marl_app.players.policy import RandomPolicy
from tests.evaluation.runs import MLP_8

POSITIONS = ConnectFour(1).solved_positions()


def measure(*players, make_env=ConnectFour):
    return value_preserving_moves(make_env, players, np.random.default_rng(0))


class Knower:
    """A follower that looks the values up: `pick` (max or min) chooses among the moves by their values."""

    def __init__(self, pick):
        self.pick, self.values = pick, dict(POSITIONS)

    def start(self, num_matches, rng):
        self.moves = [()] * num_matches

    def follow(self, matches, agents, actions):
        for match, agent, action in zip(matches, agents, actions.tolist(), strict=True):
            assert agent == len(self.moves[match]) % 2
            self.moves[match] += (action,)

    def choose(self, matches, agents):
        values = [self.values[self.moves[match]] for match in matches]
        return np.array([self.pick(value, key=value.get) for value in values])


class Counting:
    """A policy with a memory, which counts the agent's own turns, and plays the first legal column."""

    memory_size = 1

    def __init__(self):
        self.turns = []

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        assert greedy
        discs = observations.sum(axis=(1, 2, 3))  # of both players: the number of moves before this one
        assert (memory[:, 0] == discs // 2).all() and (agents == discs % 2).all()
        self.turns += memory[:, 0].tolist()
        return masks.argmax(axis=1), memory + 1


def test_a_player_that_knows_the_values_keeps_them_all_and_the_opposite_none():
    best, worst = measure(Knower(max)), measure(Knower(min))
    assert (best.share, best.high, best.positions) == (1.0, 1.0, 500) and np.isnan(best.sampled)
    assert best.low == pytest.approx(0.9924, abs=1e-4)  # Wilson: n / (n + z^2)
    assert worst.share == 0.0 and worst.high == pytest.approx(0.0076, abs=1e-4)  # z^2 / (n + z^2)


def test_the_player_of_the_side_to_move_answers():
    # After an even number of moves the first side is to move.
    first = np.mean([len(moves) % 2 == 0 for moves, _ in POSITIONS])
    assert 0.4 < first < 0.6
    assert measure(Knower(max), Knower(min)).share == pytest.approx(first)
    assert measure(Knower(min), Knower(max)).share == pytest.approx(1 - first)


def test_random_keeps_the_value_as_often_as_there_are_best_moves():
    exact = np.mean([np.mean([value == max(values.values()) for value in values.values()]) for _, values in POSITIONS])
    found = measure(RandomPolicy(ConnectFour(1)))
    assert found.sampled == pytest.approx(exact, abs=1e-6) and exact == pytest.approx(0.3507, abs=1e-4)
    assert found.share == pytest.approx(exact, abs=0.086)  # 4 standard errors
    assert found.low < found.share < found.high


def test_tree_search_with_100_simulations():
    assert 0.80 < measure(make_anchor(ConnectFour(1), "mcts_100")).share < 0.93


def test_a_policy_with_a_memory_observes_the_recorded_moves():
    player = Counting()
    first_legal = np.mean([values[min(values)] == max(values.values()) for _, values in POSITIONS])
    assert measure(player).share == pytest.approx(first_legal)
    assert len(player.turns) == sum(len(moves) + 1 for moves, _ in POSITIONS)


def agent_of(column):
    """Return an agent that plays a column with probability 1 if it is not full, from its bytes."""
    env = ConnectFour(1)
    networks = networks_for_env(env, "spaces", None, False)
    module = networks[0].spec(MLP_8).build()
    with torch.no_grad():
        module.policy_head.linear.bias[:] = torch.eye(7)[column] * 1000
    weights = {f"{networks[0].name}/{name}": value.numpy() for name, value in module.state_dict().items()}
    return Agent(encode_player(weights, networks, env.agents, MLP_8, {"player": "main"}))


def test_a_network_that_always_plays_the_center():
    kept = [values.get(3) == max(values.values()) for _, values in POSITIONS]
    full = [3 not in values for _, values in POSITIONS]  # then it plays another column
    found = measure(agent_of(3))
    assert np.mean(kept) <= found.share <= np.mean(kept) + np.mean(full)
    assert np.mean(kept) <= found.sampled <= np.mean(kept) + np.mean(full)


def test_an_environment_without_solved_positions_is_an_error():
    with pytest.raises(ValueError, match="no solved positions"):
        measure(RandomPolicy(ConnectFour(1)), make_env=lambda n: MatrixGame(n, [[0, 1], [1, 0]]))

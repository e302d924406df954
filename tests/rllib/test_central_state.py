"""The input of a centralized critic: the environment's state, or the observations of a side in agent order."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from marl_app.envs.batched import Group
from marl_app.envs.simple_tag import SimpleTag
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.central_state import CentralState, central_state_size
from marl_app.store.disk import DiskStore
from tests.rllib.games import Relay
from tests.rllib.recorder import plain_advantages, untagged
from tests.rllib.runners import collect, make_recorded_runner, random_weights


class Interleaved:
    """Agents a0 b0 a1 b1 c0: an `a` observes its number twice, `b` and `c` once; all `a` and `b` are one side."""

    agents = ("a0", "b0", "a1", "b1", "c0")
    one, two = spaces.Box(0, 99, (1,), np.float32), spaces.Box(0, 99, (2, 1), np.int8)
    groups = (
        Group("a", (0, 2), two, spaces.Discrete(2)),
        Group("b", (1, 3), one, spaces.Discrete(2)),
        Group("c", (4,), one, spaces.Discrete(2)),
    )
    sides = ((0, 1, 2, 3), (4,))
    state_space = None

    def observe(self, matches, agents):
        assert len({agent in (0, 2) for agent in agents.tolist()}) == 1, "agents of two groups in one call"
        seen = (10 * matches + agents).astype(np.float32)[:, None]
        return np.stack([seen, seen], axis=1).astype(np.int8) if agents[0] in (0, 2) else seen

    def state(self, matches):
        return None


class WithState(Interleaved):
    """The same with a state: [match, match + 0.5] twice."""

    state_space = spaces.Box(0, 99, (2, 2), np.float32)

    def state(self, matches):
        row = np.stack([matches, matches + 0.5], axis=1).astype(np.float32)
        return np.stack([row, row], axis=1)


NONE_FINISHED = np.zeros((4, 5), np.bool_)  # [matches, agents]


def test_the_environments_own_state_comes_first():
    central = CentralState(WithState(), mask_dead=True, scale=False)
    rows = central.states_for(np.array([2, 0, 2]), np.array([4, 0, 1]), ~NONE_FINISHED)  # no agent's end matters
    assert rows.tolist() == [[2, 2.5, 2, 2.5], [0, 0.5, 0, 0.5], [2, 2.5, 2, 2.5]]
    assert central_state_size(WithState(), (0, 4)) == 4


def test_the_observations_of_a_side_in_the_order_of_its_agents():
    central = CentralState(Interleaved(), mask_dead=True, scale=False)
    # Agents of one group, as in calls of networks.
    rows = central.states_for(np.array([3, 0, 3]), np.array([2, 2, 0]), NONE_FINISHED)
    # Match 3: a0 sees 30 30, b0 31, a1 32 32, b1 33.
    assert rows.tolist() == [[30, 30, 31, 32, 32, 33], [0, 0, 1, 2, 2, 3], [30, 30, 31, 32, 32, 33]]
    assert rows.dtype == np.float32
    assert central.states_for(np.array([1, 2]), np.array([4, 4]), NONE_FINISHED).tolist() == [[14], [24]]
    assert (central_state_size(Interleaved(), (0, 2)), central_state_size(Interleaved(), (4,))) == (6, 1)


@pytest.mark.parametrize("mask_dead", [True, False])
def test_finished_agents_are_zeros_with_death_masking(mask_dead):
    finished = NONE_FINISHED.copy()
    finished[3, [0, 3]] = True
    rows = CentralState(Interleaved(), mask_dead, scale=False).states_for(np.array([3, 1]), np.array([2, 2]), finished)
    assert rows[0].tolist() == ([0, 0, 31, 32, 32, 0] if mask_dead else [30, 30, 31, 32, 32, 33])
    assert rows[1].tolist() == [10, 10, 11, 12, 12, 13]


def test_a_network_on_sides_with_states_of_different_size_is_refused():
    with pytest.raises(ValueError, match=r"algorithm\.critic: 'b1' and 'c0' share a network"):
        central_state_size(Interleaved(), (1, 3, 4))
    assert central_state_size(TicTacToe(1), (0, 1)) == 18  # two sides of one agent each: 3 x 3 x 2 numbers for both
    tag = SimpleTag(1)
    # The state: all observations.
    assert central_state_size(tag, (0, 1, 2)) == central_state_size(tag, (3,)) == 3 * 16 + 14
    tag.state_space = None
    assert (central_state_size(tag, (0, 1, 2)), central_state_size(tag, (3,))) == (48, 14)


class Team(Relay):
    """Relay with one side: the state is the observations of all agents."""

    sides = ((0, 1, 2),)


@pytest.mark.parametrize("critic", ["state", "agent_state"])
@pytest.mark.parametrize("death_masking", [True, False])
def test_values_come_from_the_state_before_the_decision(tmp_path, critic, death_masking):
    """Advantages equal the reference in a game in which agents finish early; each fragment has other weights."""
    gamma, lambda_, steps, count = 0.9, 0.8, 5, 6
    runner, env = make_recorded_runner(
        Team, DiskStore(tmp_path), matches=12, steps=steps, gamma=gamma, lambda_=lambda_, critic=critic,
        death_masking=death_masking,
    )  # fmt: skip
    side_of = {agent: side for side in env.sides for agent in side}
    network_of = {agent: network for network in runner.networks for agent in network.agents}
    sizes = {agent: network_of[agent].observation_space.shape[0] for agent in network_of}
    tags = np.cumsum([sizes[agent] for agent in env.sides[0]]) - 1  # columns of the state with decisions' numbers
    weights = []
    for seed in range(count):
        current = untagged(random_weights(runner, seed))
        for name, value in current.items():
            if name.endswith("value_head.encoder.1.weight"):
                value[:, tags] = 0
        weights.append(current)
    fragments = [collect(runner, current, seed=number) for number, current in enumerate(weights)]

    def value(fragment, row):
        match, step, agent = env.where(row[-1])
        runner._player_networks.set_trainee_weights(weights[fragment])
        parts = []
        for other in side_of[agent]:
            dead = match.finished(step, other)
            # The last observation of an agent that was cut off is of the step in which it lived.
            if step and match.truncated[step - 1][agent]:
                dead = match.finished(step - 1, other) or match.terminated[step - 1][other]
            parts.append(np.zeros(sizes[other], np.float32) if dead and death_masking else match.seen[step][other])
        state = torch.from_numpy(np.concatenate(parts)[None])
        module = runner._player_networks.modules[network_of[agent].name]
        with torch.inference_mode():
            return float(module.values(torch.from_numpy(row[None]), None, None, state)[0])

    expected = [{} for _ in range(count - 1)]
    for match in env.matches:
        for agent in range(len(env.agents)):
            bounds = {}
            for fragment in range(count - 1):
                first = max(0, fragment * steps - match.start)
                last = min(match.length, (fragment + 1) * steps - match.start)
                if first < last:
                    bounds[fragment] = (first, last)
            taught, _ = plain_advantages(match, agent, bounds, value, gamma, lambda_)
            for fragment, worths in taught.items():
                expected[fragment] |= {env.decision(match, t, agent): worth for t, worth in worths.items()}
    for fragment, worth in zip(fragments, expected, strict=False):
        found = {}
        for network in runner.networks:
            batch = fragment.batches[network.name]
            assert batch["state"].shape == (len(batch["obs"]), network.state_size)
            for row, seen in enumerate(batch["obs"]):
                found[int(seen[-1])] = (batch["advantages"][row], batch["value_targets"][row])
        assert found.keys() == worth.keys()
        ids = sorted(found)
        np.testing.assert_allclose([found[i] for i in ids], [worth[i] for i in ids], rtol=1e-3, atol=1e-3)

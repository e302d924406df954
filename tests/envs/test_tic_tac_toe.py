"""Tic-tac-toe, move for move against OpenSpiel and PettingZoo."""

import numpy as np
import pyspiel
import pytest
from pettingzoo.classic import tictactoe_v3

from marl_app.envs.random_play import random_actions
from marl_app.envs.tic_tac_toe import TicTacToe


def test_random_games_equal_openspiel_and_pettingzoo():
    game = pyspiel.load_game(TicTacToe.openspiel_game)
    batch, rng = 150, np.random.default_rng(1)
    env, originals = TicTacToe(batch), [tictactoe_v3.env() for _ in range(batch)]
    env.reset(rng)
    for original in originals:
        original.reset()
    assert env.agents == tuple(originals[0].possible_agents)
    assert env.groups[0].observation_space == originals[0].observation_space("player_1")["observation"]
    states = [game.new_initial_state() for _ in range(batch)]
    running = np.ones(batch, bool)
    while running.any():
        seen = [env.observe(np.arange(batch), np.full(batch, agent)) for agent in (0, 1)]
        matches, agents = env.acting().nonzero()
        masks = env.action_mask(matches, agents)
        actions = random_actions(env, rng)
        step = env.step(actions, rng)
        for match in running.nonzero()[0]:
            state, original, action = states[match], originals[match], int(actions[0][match, agents[match]])
            for agent, name in enumerate(env.agents):
                np.testing.assert_array_equal(seen[agent][match], original.observe(name)["observation"])
            assert original.agent_selection == env.agents[agents[match]] and state.current_player() == agents[match]
            # An action id is the transposed cell in OpenSpiel; nevertheless the same ids are legal and win.
            assert np.flatnonzero(masks[match]).tolist() == state.legal_actions()
            original.step(action)
            state.apply_action(action)
            assert step.rewards[match].tolist() == [original.rewards[name] for name in env.agents] == state.rewards()
            assert step.over[match] == state.is_terminal() == all(original.terminations.values())
            if state.is_terminal():
                assert env.scores(np.array([match])).tolist() == [[(r + 1) / 2 for r in state.returns()]]
        running &= ~step.over
        env.reset(rng, step.over.nonzero()[0])  # ended matches play on, but are not compared any more


@pytest.mark.parametrize(("cell", "why"), [(-1, "not one of 0..8"), (9, "not one of 0..8"), (4, "taken")])
def test_an_illegal_cell_is_an_error(cell, why):
    env, rng = TicTacToe(1), np.random.default_rng(0)
    env.reset(rng)
    env.step([np.full((1, 2), 4)], rng)
    with pytest.raises(ValueError, match=f"illegal action {cell} in match 0: the cell is {why}"):
        env.step([np.full((1, 2), cell)], rng)

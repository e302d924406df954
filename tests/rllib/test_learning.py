"""It learns: games whose answer is known, from fixed seeds, in seconds."""

import numpy as np
import pytest

from envs.tic_tac_toe import TicTacToe
from marl_app.evaluation.anchors import evaluate
from marl_app.rllib.agent import Agent
from marl_app.rllib.player import encode_player
from tests.rllib.runs import running

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(120)]

BATCH = ("runtime.num_envs_per_env_runner=64", "algorithm.train_batch_size_per_learner=1024", "algorithm.num_epochs=4")


def probabilities(algorithm):
    """The learner's policy where there is nothing to see."""
    return Agent(algorithm.encode_learner()).probabilities(np.zeros(1, np.float32))


def test_it_finds_the_best_answer_to_a_frozen_opponent(tmp_path):
    """Against a snapshot that only plays rock, paper wins every time."""
    overrides = ("league/matchmaker=uniform", "league.schedule.agent_steps=1000000000", "algorithm.lr=0.01")
    with running(tmp_path, "env=rock_paper_scissors", *BATCH, *overrides) as algorithm:
        config = algorithm.config
        rock = {name: np.zeros_like(value) for name, value in algorithm.weights().items()}
        rock["player/policy_head.linear.bias"][:] = [50, 0, 0]
        blob = encode_player(rock, config.networks, config.agents, config.architecture, {})
        algorithm.league.add_snapshot("main", algorithm.store.put(blob), 0, "a stone")
        for _ in range(12):
            algorithm.train()
        assert probabilities(algorithm)[1] > 0.9
        assert algorithm.report["league/win_rate/pool"] > 0.8  # of all matches so far, the first ones included
        assert algorithm.report["matches/return"] > 0.8


def test_it_finds_what_is_best_whatever_the_other_does(tmp_path):
    # A prisoner's dilemma: to defect (action 1) pays 1 more, whatever the other does; both lose by it.
    dilemma = "env.payoff=[[[3,3],[0,4]],[[4,0],[1,1]]]"
    overrides = ("league/matchmaker=latest", "algorithm.lr=0.01", "algorithm.entropy_coeff=0")
    with running(tmp_path, "env=rock_paper_scissors", dilemma, *BATCH, *overrides) as algorithm:
        before = probabilities(algorithm)[1]
        for _ in range(12):
            algorithm.train()
        assert 0.4 < before < 0.6 and probabilities(algorithm)[1] > 0.95
        assert algorithm.report["matches/return"] < 1.3  # 2 on average when it began, 1 when both defect


def test_self_play_learns_tic_tac_toe(tmp_path):
    overrides = ("league/matchmaker=latest", "model.hidden=[128]", "algorithm.lr=0.003")
    with running(tmp_path, "env=tic_tac_toe", *BATCH, *overrides) as algorithm:
        scores = []
        for iterations in (0, 120):
            for _ in range(iterations):
                algorithm.train()
            agent = Agent(algorithm.encode_learner())
            scores.append(evaluate(TicTacToe, agent, "random", 1000, np.random.default_rng(0), greedy=True).score)
    # A random player scores 0.5 against another, half of the matches as first and half as second.
    assert scores[0] < 0.8 and scores[1] > 0.9

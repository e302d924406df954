"""The lower bound from an exploiter's matches, for targets with known exploitability."""

import numpy as np
import pytest

from marl_app.envs.matrix_game import MatrixGame
from marl_app.evaluation.anchors import Score
from marl_app.evaluation.best_response import exploitability_bound, score_exploiters, steps_to_score
from marl_app.players.agent import Agent
from tests.evaluation.runs import PAPER, ROCK, RPS, SCISSORS, always


def scored(exploiter, targets, probabilities, greedy=False):
    players = [Agent(always(action)) for action in targets]
    rng = np.random.default_rng(0)
    policy = Agent(always(exploiter)) if isinstance(exploiter, int) else exploiter
    return score_exploiters(
        lambda n: MatrixGame(n, RPS), [policy], players, np.array(probabilities), 3000, 101, rng, greedy=greedy
    )


def test_a_mixture_is_drawn_for_each_match():
    # Paper against rock (a win) in 70 % of the matches and scissors (a loss) in 30 %: 0.7, which is its exploitability.
    score = scored(PAPER, (ROCK, SCISSORS), (0.7, 0.3))
    assert score.games == 3060 and score.score == pytest.approx(0.7, abs=0.03) and score.low < 0.7 < score.high
    assert scored(PAPER, (ROCK, SCISSORS), (1.0, 0.0)).score == 1.0


class Wavering:
    """A policy that plays paper if greedy, and paper or rock with probability 0.5 each if sampling."""

    memory_size = 0

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        return np.where(rng.random(len(agents)) < (0 if greedy else 0.5), ROCK, PAPER)


def test_only_the_exploiter_is_greedy():
    assert scored(Wavering(), (ROCK,), (1.0,), greedy=True).score == 1.0
    assert scored(Wavering(), (ROCK,), (1.0,)).score == pytest.approx(0.75, abs=0.03)


def test_the_bound_in_scores_and_in_payoff():
    # In Kuhn poker (stake 2) a score of 0.55 is a payoff of 0.2 a match: 0.5 + payoff / (2 * 2).
    assert exploitability_bound(Score(0.55, 0.525, 0.575, 1000), 2.0) == pytest.approx((0.05, 0.025, 0.2, 0.1))
    assert exploitability_bound(Score(0.55, 0.45, 0.65, 100), None) == pytest.approx((0.05, 0.0, None, None))


def test_the_steps_to_a_score():
    curve = [(0, 0.1), (100, 0.5), (200, 0.7), (300, 0.9), (400, 0.6)]
    assert steps_to_score(curve, 0.8) == pytest.approx(250)  # half way from 0.7 to 0.9
    assert steps_to_score(curve, 0.7) == pytest.approx(200)
    assert steps_to_score(curve, 0.05) == 0  # the first point is above the level already
    assert np.isnan(steps_to_score(curve, 0.95))

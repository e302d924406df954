"""Numbers from an environment that would spoil training are errors that name environment, match, agent and step."""

import numpy as np
import pytest
import torch

from marl_app.rllib.gradients import MOST_SKIPPED, NonFiniteGradientError, clip_and_step
from marl_app.rllib.sampling.fragments import Failure, Request
from marl_app.store.disk import DiskStore
from tests.rllib.games import BadNumbers
from tests.rllib.runners import SELF, collect, make_runner, weights_to_numpy


@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        ("reward", 1e30, r"BadNumbers: match 1, agent player_0, step 0: the reward is 1.0\d*e\+30, and must be finite"),
        ("reward", np.nan, "BadNumbers: match 1, agent player_0, step 0: the reward is nan"),
        ("observation", 1e12, "BadNumbers: match 3, agent player_1, step 0: the observation has the value 9.99"),
        ("observation", -np.inf, "BadNumbers: match 3, agent player_1, step 0: the observation has the value -inf"),
        ("scores", 0.9, r"BadNumbers: the scores of match 0 are \[.*\]: .* those of two sides sum to 1"),
        ("scores", 7.0, r"BadNumbers: the scores of match 0 are \[.*7.0\]: each must be in \[0, 1\]"),
    ],
)
def test_bad_numbers_are_refused_where_they_enter(tmp_path, what, value, message):
    runner = make_runner(lambda count: BadNumbers(count, what, value), DiskStore(tmp_path), matches=4)
    answer = runner.sample(request=Request("main", weights_to_numpy(runner._player_networks.modules), 0, 0, SELF))
    assert isinstance(answer, Failure)
    with pytest.raises(ValueError, match=message):
        raise ValueError(answer.traceback.splitlines()[-1])


def test_large_numbers_within_the_limit_are_played(tmp_path):
    runner = make_runner(lambda count: BadNumbers(count, "reward", 1e6), DiskStore(tmp_path), matches=4)
    assert collect(runner, weights_to_numpy(runner._player_networks.modules)).rows > 0


def test_many_skipped_steps_in_a_row_end_the_run_and_one_does_not():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def step(gradient):
        weight.grad = torch.full((1,), gradient)
        return clip_and_step(optimizer, [weight], None, "global_norm", "main")

    for _ in range(3):  # a good step in between: not in a row
        for _ in range(MOST_SKIPPED - 1):
            step(float("nan"))
        step(1.0)
    assert weight.item() == pytest.approx(1 - 3 * 0.1)  # only the good steps counted
    for _ in range(MOST_SKIPPED - 1):
        step(float("inf"))
    with pytest.raises(NonFiniteGradientError, match="100 gradients of main in a row were not finite.*algorithm.lr"):
        step(float("nan"))

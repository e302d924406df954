"""The targets of the team value, computed by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from marl_app.players.modules.actor_critic import LENGTHS
from marl_app.rllib.team_q.collector import CLOSING, TEAM
from marl_app.rllib.team_q.learner import TeamLearner, action_values

TRAINED = torch.tensor([[1.0, 2], [5, 3]])  # values of the actions in situation 0 and 1
TARGET = torch.tensor([[10.0, 20], [30, 40]])
NETWORK = SimpleNamespace(name="player", agents=(0, 1))


class Table:
    """A network that reads its values from a table."""

    def __init__(self, table):
        self.table = table

    def action_values(self, observations, agents, memory, lengths):
        return self.table[observations[:, 0].long()]


class Sum:
    def mix(self, values, state):
        return values.sum(dim=1)


def learner(double_q):
    """A learner without RLlib around it, of two agents with one table."""
    made = TeamLearner.__new__(TeamLearner)
    made.config = SimpleNamespace(gamma=0.5, settings=SimpleNamespace(double_q=double_q))
    made._mixer_id, made._network_ids = TEAM, [(NETWORK, "player")]
    made._module = {"player": Table(TRAINED), TEAM: Sum()}
    made._targets = {"player": Table(TARGET), TEAM: Sum()}
    return made


def batch(mask=None):
    """Return two segments from situation 0 to 1: the first match is terminated in 1, the second truncated."""
    situations = torch.tensor([0, 1, 0, 1])
    player = {
        "obs": situations[:, None, None].repeat(1, 2, 1),
        "actions": torch.tensor([[0, 1], [1, 1], [1, 1], [0, 0]]),
    }
    if mask is not None:
        player["action_mask"] = mask
    team = {
        "rewards": torch.tensor([1.0, 7, 2, 0]),
        "terminateds": torch.tensor([False, True, False, False]),
        CLOSING: torch.tensor([False, False, False, True]),
        LENGTHS: torch.tensor([2, 2]),
    }
    return {"player": player, TEAM: team}


@pytest.mark.parametrize(
    ("double_q", "expected"),
    [
        # In situation 1 the trained table prefers action 0, which the targets value 30; the targets' maximum is 40.
        (True, [1 + 0.5 * 60, 7, 2 + 0.5 * 60]),
        (False, [1 + 0.5 * 80, 7, 2 + 0.5 * 80]),
    ],
)
def test_bootstrapped_unless_terminated(double_q, expected):
    values, targets = learner(double_q).team_values(batch())
    assert values.tolist() == [1 + 2, 3 + 3, 2 + 2]  # the closing row has no target
    assert targets.tolist() == expected


def test_illegal_actions_are_not_bootstrapped_from():
    mask = torch.ones(4, 2, 2, dtype=torch.bool)
    mask[[1, 3], 0, 0] = False  # in situation 1 the first agent may not play action 0
    _, targets = learner(True).team_values(batch(mask))
    assert targets.tolist() == [1 + 0.5 * (40 + 30), 7, 2 + 0.5 * (40 + 30)]
    mask[:] = False  # no legal action, as after the truncation of a match: the same as without a mask
    assert torch.equal(learner(True).team_values(batch(mask))[1], learner(True).team_values(batch())[1])


def test_rows_are_ordered_by_agent_for_recurrent_networks():
    class Order:
        def action_values(self, observations, agents, memory, lengths):
            assert (agents.tolist(), lengths.tolist()) == ([0, 0, 0, 2, 2, 2], [2, 1, 2, 1])
            assert memory[:, 0].tolist() == [100, 102, 101, 103]  # [first agent's segments, second agent's]
            return observations.float()

    rows = np.arange(6).reshape(3, 2, 1)
    columns = {"obs": torch.tensor(rows), "memory": torch.tensor([[[100], [101]], [[102], [103]]])}
    values = action_values(Order(), SimpleNamespace(agents=(0, 2)), columns, torch.tensor([2, 1]))
    assert torch.equal(values, torch.tensor(rows).float())  # in the original order

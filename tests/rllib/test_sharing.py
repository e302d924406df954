"""Parameters, broadcast bytes and rows per env step of shared and independent networks, as a run reports them."""

import pytest

from tests.rllib.runs import running

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(120)]

# A predator observes the 5 x 5 cells around it for any number of predators: the network does not change.
GAME = ("env=predator_prey", "league/matchmaker=latest", "model.hidden=[16]", "callbacks=[league]")
SIZES = (
    "runtime.num_envs_per_env_runner=8",
    "algorithm.train_batch_size_per_learner=64",
    "algorithm.minibatch_size=64",
)


def reported(folder, *overrides):
    with running(folder, *GAME, *SIZES, *overrides) as algorithm:
        algorithm.train()
        names = ("policies/parameters", "policies/broadcast_bytes", "learner/rows_per_env_step")
        return [algorithm.report[name] for name in names]


def test_with_a_shared_network_only_the_batch_grows_with_the_agents(tmp_path):
    few, many = (reported(tmp_path / str(n), f"env.predators={n}") for n in (3, 12))
    assert few[:2] == many[:2]
    # A row per agent and env step, except the last one of each running match, which opens the next fragment.
    assert many[2] == pytest.approx(4 * few[2]) and 2 <= few[2] <= 3


def test_without_sharing_every_agent_adds_a_network(tmp_path):
    shared, apart = (
        reported(tmp_path / name, "env.predators=3", f"policies={name}") for name in ("shared", "independent")
    )
    assert apart[0] == 3 * shared[0] and apart[1] == 3 * shared[1] and apart[2] == shared[2]

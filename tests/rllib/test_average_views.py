"""Networks that average over all symmetric views (`algorithm.symmetries=average`)."""

import numpy as np
import pytest
import torch

import marl_app
from marl_app.assembly.training import build
from marl_app.config.errors import ConfigError
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.symmetries import Views
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.modules.actor_critic import ACTION_MASK, DIST_INPUTS, OBSERVATIONS
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.ntuple import NTuple
from marl_app.players.networks import networks_for_env
from marl_app.rllib.training.checkpoint import save_checkpoint
from tests.rllib.runs import running, small


def network(env, architecture, **settings):
    torch.manual_seed(0)
    module = networks_for_env(env(1), average_symmetries=True, **settings)[0].spec(architecture).build()
    torch.nn.init.normal_(module.policy_head.linear.weight)  # the usual small weights would hide a difference
    return module


def boards(env, rows=20):
    rng = np.random.default_rng(0)
    pieces = rng.integers(3, size=(rows, *env.groups[0].observation_space.shape[:2]))
    return np.stack([pieces == 1, pieces == 2], axis=-1).astype(np.int8)


@pytest.mark.parametrize("env", [TicTacToe, ConnectFour])
@pytest.mark.parametrize(
    "architecture", [MLP(hidden=(16,)), NTuple(windows=((1, 3), (3, 1)), diagonals=(3,), hidden=(16,))]
)
@pytest.mark.parametrize("shared", [True, False])
def test_all_views_have_the_same_value_and_the_same_probabilities(env, architecture, shared):
    architecture = type(architecture)(
        **{**architecture.model_config, "vf_share_layers": shared, "precision": "float32"}
    )
    module, views = network(env, architecture), Views(env.groups[0].symmetries)
    seen = boards(env)
    logits, value, _ = module.act_and_value(torch.from_numpy(seen))
    assert logits.std(dim=1).min() > 0.1  # the actions differ
    for view in range(1, views.count):
        rows = np.full(len(seen), view)
        mirrored, same, _ = module.act_and_value(torch.from_numpy(views.observations(seen, rows)))
        np.testing.assert_allclose(
            views.original_probabilities(mirrored.detach().numpy(), rows), logits.detach(), atol=1e-5
        )
        np.testing.assert_allclose(same.detach(), value.detach(), atol=1e-5)


def test_outputs_are_the_means_over_the_views_of_the_plain_network():
    plain = networks_for_env(ConnectFour(1))[0].spec(MLP(hidden=(16,), precision="float32")).build()
    module = network(ConnectFour, MLP(hidden=(16,), precision="float32"))
    names = zip(module.state_dict(), plain.state_dict(), strict=True)  # "encoder.encoder." instead of "encoder."
    plain.load_state_dict({theirs: module.state_dict()[own] for own, theirs in names})
    seen, views = boards(ConnectFour), Views(ConnectFour.groups[0].symmetries)
    both = np.ones(len(seen), np.int64)
    logits, value, _ = plain.act_and_value(torch.from_numpy(seen))
    mirror_logits, mirror_value, _ = plain.act_and_value(torch.from_numpy(views.observations(seen, both)))
    mirrored = torch.from_numpy(views.original_probabilities(mirror_logits.detach().numpy(), both))
    mean_logits, mean_value, _ = module.act_and_value(torch.from_numpy(seen))
    np.testing.assert_allclose(mean_logits.detach(), (logits + mirrored).detach() / 2, atol=1e-5)
    np.testing.assert_allclose(mean_value.detach(), (value + mirror_value).detach() / 2, atol=1e-5)


def test_training_and_playing_compute_the_same():
    module = network(ConnectFour, MLP(hidden=(16,), precision="float32"), agent_id=True)
    seen, mask = torch.from_numpy(boards(ConnectFour)), torch.ones(20, 7, dtype=torch.bool)
    agents = torch.arange(20) % 2
    trained = module.forward_train({OBSERVATIONS: seen, ACTION_MASK: mask, "agent_id": agents})
    logits, value, _ = module.act_and_value(seen, mask, agents)
    np.testing.assert_allclose(trained[DIST_INPUTS].detach(), logits.detach(), atol=1e-6)
    values = module.compute_values({OBSERVATIONS: seen, "agent_id": agents})
    np.testing.assert_allclose(values.detach(), value.detach(), atol=1e-6)


def test_a_league_of_averaging_networks_trains_and_its_agent_averages(ray_here, tmp_path):
    with running(
        tmp_path, "env=tic_tac_toe", "algorithm.symmetries=average", "model=mlp", "model.hidden=[16]"
    ) as algorithm:
        algorithm.train()
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
    first = marl_app.load_agent(tmp_path).probabilities(np.zeros((3, 3, 2), np.int8))
    assert np.ptp(first[[0, 2, 6, 8]]) < 1e-3 and np.ptp(first[[1, 3, 5, 7]]) < 1e-3  # corners, edges; bfloat16


def test_a_network_with_a_memory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="algorithm.symmetries=average: this network has a memory.*give random"):
        build(small(tmp_path, "env=tic_tac_toe", "model=gru", "algorithm.symmetries=average"))

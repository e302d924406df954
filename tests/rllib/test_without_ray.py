"""Loading an agent imports neither Ray nor anything else that training alone needs."""

import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns

from marl_app.players.modules.actor_critic import DIST_INPUTS, FEATURES, OBSERVATIONS
from marl_app.players.modules.mlp import MLP, MLPModule
from marl_app.players.networks import Network
from marl_app.players.trained_module import TrainedModule, trained_class

LOAD = """
import sys
import numpy as np
import marl_app
agent = marl_app.load_agent(sys.argv[1], trust=True)
space = agent.module.observation_space
agent.act(np.zeros(space.shape, space.dtype), agent=0, **({"memory": agent.start()} if agent.memory_size else {}))
print([name for name in ("ray", "sympy", "scipy", "pandas", "pyspiel") if name in sys.modules])
"""


def test_an_agent_is_loaded_and_plays_without_ray(tmp_path):
    """Nor what else would take a large part of the time. Runs of earlier versions too."""
    with tarfile.open(Path(__file__).parents[1] / "runs" / "alphastar.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "alphastar")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert result.stdout.splitlines()[-1:] == ["[]"], result.stdout + result.stderr


def test_names_of_columns_are_those_of_rllib():
    assert (OBSERVATIONS, FEATURES, DIST_INPUTS) == (Columns.OBS, Columns.EMBEDDINGS, Columns.ACTION_DIST_INPUTS)


@pytest.mark.parametrize(
    "actions", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2,))], ids=str
)
def test_the_module_that_trains_has_the_weights_of_the_network(actions):
    network = Network("player", (0,), 0, spaces.Box(-1, 1, (4,), np.float32), actions)
    spec = network.spec(MLP(hidden=[8], precision="float32"))
    # Ray sends specs to other processes; the class is made where it is needed, and does not lead back to this process.
    trained = pickle.loads(cloudpickle.dumps(spec)).build()
    assert isinstance(trained, TrainedModule) and isinstance(trained, MLPModule)
    assert spec.module_class is trained_class(MLPModule)
    plain = MLPModule(observation_space=network.observation_space, action_space=actions, model_config=spec.model_config)
    plain.load_state_dict(trained.state_dict())  # the same names and shapes
    seen = torch.rand(5, 4)
    inputs, memory = plain(seen)
    assert memory is None
    torch.testing.assert_close(trained.forward_train({"obs": seen})["action_dist_inputs"], inputs)
    drawn = trained.get_train_action_dist_cls().from_logits(inputs).sample()
    assert drawn.shape == (5, *actions.shape)


def test_a_network_may_choose_its_own_distribution():
    class Chooses(MLPModule):
        def setup(self):
            super().setup()
            self.action_dist_cls = dict

    architecture = MLP(hidden=[8])
    object.__setattr__(architecture, "module_class", Chooses)
    module = Network("player", (0,), 0, spaces.Box(-1, 1, (4,)), spaces.Discrete(3)).spec(architecture).build()
    assert module.get_train_action_dist_cls() is dict

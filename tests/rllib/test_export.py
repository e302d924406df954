"""Exported files: equal to the agent in onnxruntime and after `torch.export.load`, for all networks and actions."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from gymnasium import spaces

from marl_app.envs.connect_four import ConnectFour
from marl_app.players.actions import to_space
from marl_app.players.encoding import encode_player
from marl_app.players.modules.afterstates import Afterstates
from marl_app.players.modules.cnn import CNN
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.ntuple import NTuple
from marl_app.players.modules.recurrent import Recurrent
from marl_app.players.native_agent import NativeAgent
from marl_app.players.networks import Network, networks_for_env
from tests.rllib.games import Relay

BOARD = spaces.Box(0, 1, (6, 7, 2), np.int8)
IMAGE = spaces.Box(0, 255, (36, 40, 3), np.uint8)
FLAT = spaces.Box(-1, 1, (5,), np.float32)
COUNTS = spaces.Box(0, 50, (5,), np.int64)
SEVEN = spaces.Discrete(7)
PARTS = spaces.MultiDiscrete([2, 3])
# One bounded number and one without bounds: to [-2, 4], and as it is.
FORCES = spaces.Box(np.array([-2, -np.inf], np.float32), np.array([4, np.inf], np.float32))
SMALL = MLP(hidden=[8], precision="float32")

# name: architecture, observations, actions, other settings of the network
CASES = {
    "mlp": (MLP(hidden=[8], activation="tanh", normalize_observations=True, precision="float32"), BOARD, SEVEN, {}),
    "scaled": (MLP(hidden=[8], vf_share_layers=False, precision="float32"), COUNTS, SEVEN, {}),
    "cnn": (CNN(filters=[4], hidden=[8], precision="float32"), BOARD, SEVEN, {}),
    "image": (CNN(hidden=[8], precision="float32"), IMAGE, SEVEN, {}),
    "ntuple": (NTuple(embedding=8, hidden=[8], precision="float32"), BOARD, SEVEN, {}),
    "afterstates": (Afterstates(), BOARD, SEVEN, {"placement": ConnectFour.groups[0].placement}),
    "gru": (Recurrent(hidden=[8], memory=6, precision="float32"), FLAT, SEVEN, {}),
    "lstm": (Recurrent(cell="lstm", hidden=[8], memory=6, precision="float32"), FLAT, SEVEN, {}),
    "multi_discrete": (SMALL, FLAT, PARTS, {"num_agents": 3}),
    "continuous": (SMALL, FLAT, FORCES, {}),
    "central": (SMALL, FLAT, SEVEN, {"state_size": 4}),
    "epsilon_greedy": (SMALL, FLAT, SEVEN, {"epsilon_greedy": True}),
}


# An export takes 2 seconds. These differ from another case in nothing that is exported differently.
SIMILAR = ("scaled", "cnn", "lstm", "epsilon_greedy")


def cases(names):
    return [pytest.param(name, marks=pytest.mark.slow if name in SIMILAR else ()) for name in names]


def agent_of(model, observations, actions, **settings):
    """Return an agent with random weights, large enough for probabilities and small enough for values of about 1."""
    network = Network("player", (0, 1, 2), 0, observations, actions, **settings)
    torch.manual_seed(0)
    state = network.spec(model).build().state_dict()
    weights = {}
    for name, value in state.items():
        if "variance" not in name and "unit" not in name:
            value = value + torch.randn(value.shape) / max(1, value[0].numel() if value.ndim else 1) ** 0.5
        weights[f"player/{name}"] = value.numpy()
    return NativeAgent(encode_player(weights, [network], ["a", "b", "c"], model, {"player": "main@0001"}))


def inputs_of(agent, rows):
    """Return random inputs of the exported file, by name."""
    rng, module = np.random.default_rng(rows), agent.module
    space = module.observation_space
    if space.dtype.kind == "f":
        inputs = {"observation": rng.normal(size=(rows, *space.shape)).astype(space.dtype)}
    else:
        inputs = {"observation": rng.integers(space.low, space.high, (rows, *space.shape), space.dtype, endpoint=True)}
    if not isinstance(module.action_space, spaces.Box):
        mask = rng.random((rows, module.policy_head.linear.out_features)) < 0.6
        mask[:, [0, -1]] = True  # each part of an action has a legal choice
        inputs["action_mask"] = mask
    if module.policy_head.num_agents:
        inputs["agent"] = rng.integers(0, 3, rows)
    if module.memory_size:
        inputs["memory"] = rng.normal(size=(rows, module.memory_size)).astype(np.float32)
    return inputs


def outputs_of(agent, inputs):
    """Return what the file has to compute: what the agent's methods and the network's critic return."""
    module, mask, agents, memory = agent.module, *(inputs.get(key) for key in ("action_mask", "agent", "memory"))
    seen, expected = inputs["observation"], {}
    tensors = [None if value is None else torch.from_numpy(value) for value in (seen, agents, memory)]
    if isinstance(module.action_space, spaces.Box):
        with torch.no_grad():
            expected["standard_deviation"] = module.act(tensors[0])[0].chunk(2, dim=1)[1].exp().numpy() * [3, 1]
        expected["greedy"] = agent.act(seen, greedy=True)
    else:
        expected["probabilities"] = agent.probabilities(seen, mask, agents, memory)
    if not module.central and not module.epsilon_greedy:
        with torch.no_grad():
            expected["value"] = module.values(*tensors).numpy()
    if module.memory_size:
        expected["new_memory"] = agent.act(seen, mask, agents, memory=memory)[1]
    return expected


def check(agent, run):
    """Check a file's outputs, `run(inputs)`, for a single row and for several."""
    for rows in (1, 7):
        inputs = inputs_of(agent, rows)
        found, expected = run(inputs), outputs_of(agent, inputs)
        if "mean" in found:
            found["greedy"] = np.clip(found.pop("mean"), *(getattr(FORCES, bound) for bound in ("low", "high")))
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name].dtype == np.float32 and found[name].shape == value.shape
            np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def onnx_runner(path):
    """Return the file's function from inputs by name to outputs by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize("case", cases(CASES))
def test_onnx_equals_the_agent(tmp_path, case, capfd):
    model, observations, actions, settings = CASES[case]
    agent, path = agent_of(model, observations, actions, **settings), tmp_path / "agent.onnx"
    agent.export(path)
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == ["agent.onnx"]  # weights included
    check(agent, onnx_runner(path))
    [seen, *_] = onnx.load(path).graph.input
    assert onnx.helper.tensor_dtype_to_np_dtype(seen.type.tensor_type.elem_type) == observations.dtype


@pytest.mark.parametrize("case", cases(["cnn", "ntuple", "afterstates", "gru", "lstm", "multi_discrete", "continuous"]))
def test_pt2_equals_the_agent(tmp_path, case):
    model, observations, actions, settings = CASES[case]
    agent = agent_of(model, observations, actions, **settings)
    agent.export(tmp_path / "agent.pt2")
    extra = {"marl_app.json": ""}
    loaded = torch.export.load(tmp_path / "agent.pt2", extra_files=extra).module()
    assert json.loads(extra["marl_app.json"])["player"] == "main@0001"

    def run(inputs):
        outputs = loaded(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    check(agent, run)


def test_files_of_bfloat16_networks_compute_in_float32(tmp_path):
    """With `precision=bfloat16` the agent rounds; the file equals the agent of the same weights that does not."""
    actions = spaces.Discrete(4)
    rounding = agent_of(MLP(hidden=[8], precision="bfloat16"), FLAT, actions)
    rounding.export(tmp_path / "agent.onnx")
    check(agent_of(SMALL, FLAT, actions), onnx_runner(tmp_path / "agent.onnx"))
    assert rounding.module.policy_head.precision == "bfloat16"  # as before


def test_metadata_says_what_the_file_is(tmp_path):
    agent = agent_of(Recurrent(hidden=[8], memory=6, precision="float32"), FLAT, SEVEN)
    agent.export(tmp_path / "agent.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "agent.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["player"] == "main@0001" and json.loads(metadata["agents"]) == ["a", "b", "c"]
    assert json.loads(metadata["action_space"]) == {"discrete": 7}
    assert list(json.loads(metadata["inputs"])) == [one.name for one in session.get_inputs()]
    assert list(json.loads(metadata["outputs"])) == [one.name for one in session.get_outputs()]


def test_symmetries_are_averaged_as_the_agent_averages_them(tmp_path):
    networks = networks_for_env(ConnectFour(1))
    state = networks[0].spec(SMALL).build().state_dict()
    weights = {f"{networks[0].name}/{name}": 3 * value.numpy() for name, value in state.items()}
    blob = encode_player(weights, networks, ConnectFour.agents, SMALL, {})
    plain, agent = NativeAgent(blob), NativeAgent(blob, average_symmetries=True)
    agent.export(tmp_path / "agent.onnx")
    inputs = inputs_of(agent, 7)
    found = onnx_runner(tmp_path / "agent.onnx")(inputs)["probabilities"]
    np.testing.assert_allclose(found, agent.probabilities(*inputs.values()), atol=1e-5)
    assert np.abs(found - plain.probabilities(*inputs.values())).max() > 0.01


def test_a_player_of_several_networks_has_a_file_for_each(tmp_path):
    networks, rng = networks_for_env(Relay(1), agent_id=True), np.random.default_rng(0)
    weights = {
        f"{network.name}/{name}": rng.normal(size=value.shape).astype(np.float32)
        for network in networks
        for name, value in network.spec(SMALL).build().state_dict().items()
    }
    relay = NativeAgent(encode_player(weights, networks, Relay.agents, SMALL, {}))
    for wants in (lambda: relay.export(tmp_path / "agent.pt2"), lambda: relay.module):
        with pytest.raises(ValueError, match="2 networks: choose one by agent=NAME, one of scout_0, tank_0, scout_1"):
            wants()
    relay.export(tmp_path / "tank.pt2", agent="tank_0")
    relay.export(tmp_path / "scout.pt2", agent=2)
    seen = rng.uniform(-1, 1, (2, 2, 2)).astype(np.float32)
    tank = torch.export.load(tmp_path / "tank.pt2").module()(observation=torch.from_numpy(seen))
    space = Relay.groups[1].action_space
    np.testing.assert_allclose(
        np.clip(tank["mean"].numpy(), space.low, space.high), relay.act(seen, agent="tank_0", greedy=True), atol=1e-5
    )
    np.testing.assert_array_equal(to_space(np.zeros((1, 2), np.float32), space), [[1, 1]])
    assert relay.module_of("scout_1") is relay.module_of(0) is not relay.module_of("tank_0")


def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path, monkeypatch):
    agent = agent_of(SMALL, FLAT, SEVEN)
    with pytest.raises(ValueError, match=r"agent\.h5: an agent is exported as \.onnx or \.pt2"):
        agent.export(tmp_path / "agent.h5")

    class Surprising(torch.nn.Module):
        def forward(self, rows):
            return rows if rows.sum() > 0 else -rows  # depends on values: no graph of tensors

    agent.module.policy_head.encoder = torch.nn.Sequential(Surprising(), agent.module.policy_head.encoder)
    with pytest.raises(ValueError, match=r"^this network cannot be exported as \.pt2: [^\n]*$"):
        agent.export(tmp_path / "agent.pt2")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(ImportError, match=r"pip install '\.\[export\]' in the checkout"):
        agent.export(tmp_path / "agent.onnx")
    assert not list(tmp_path.iterdir())

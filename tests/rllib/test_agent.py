"""`marl_app.load_agent`: loading players, their actions and probabilities, play in the original environment."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from pettingzoo.classic import connect_four_v3

import marl_app
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.evaluation.anchors import evaluate_anchor
from marl_app.players.agent import Agent
from marl_app.players.encoding import build_modules, encode_player
from marl_app.players.modules.actor_critic import LENGTHS, MEMORY
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.recurrent import Recurrent
from marl_app.players.networks import networks_for_env
from marl_app.rllib.training.checkpoint import save_checkpoint
from marl_app.store.codec import decode
from tests.rllib.games import RPS, Names, Relay
from tests.rllib.runs import blob_weights, running

SMALL = MLP(hidden=[8], precision="float32")


@pytest.fixture(scope="module")
def run(ray_here, tmp_path_factory):
    """A run directory with two snapshots of Connect Four, and the weights of `main` and of the snapshots."""
    folder = tmp_path_factory.mktemp("run")
    with running(folder, "env=connect_four", "league.schedule.agent_steps=700", "algorithm.lr=0.01") as algorithm:
        while len(algorithm.league.snapshots) < 2:
            algorithm.train()
        algorithm.train()
        save_checkpoint(algorithm, folder / "checkpoints", keep=1)
        pool = {snapshot.player.id: blob_weights(algorithm, snapshot) for snapshot in algorithm.league.snapshots}
        return folder, {"main": algorithm.weights.read("main")} | pool


@pytest.fixture(scope="module")
def agent(run):
    return marl_app.load_agent(run[0])


def positions(count, seed=0):
    """Return observations and masks of Connect Four after a random number of random legal moves."""
    rng = np.random.default_rng(seed)
    env = ConnectFour(count)
    env.reset(rng)
    rows = np.arange(count)
    for _ in range(12):
        mover = env.acting().argmax(axis=1)
        moves = np.array([rng.choice(np.flatnonzero(mask)) for mask in env.action_mask(rows, mover)])
        step = env.step([np.stack([moves, moves], axis=1)], rng)
        env.reset(rng, np.flatnonzero(step.over | (rng.random(count) < 0.05)))
    # Every second match gets a full column, so that it has an illegal action.
    mover = env.acting().argmax(axis=1)
    observations, masks = env.observe(rows, mover), env.action_mask(rows, mover).copy()
    masks[::2, seed % 7] = False
    return observations, masks


def test_main_and_snapshots_are_loaded_by_name(run):
    folder, weights = run
    observations, masks = positions(10)
    answers = {}
    for name, player in (("main", None), ("main", "main"), ("main@0000", "main@0000"), ("main@0001", "main@0001")):
        agent = marl_app.load_agent(str(folder), player)
        assert agent.metadata["player"] == name
        [module] = build_modules(weights[name], agent.metadata).values()
        with torch.no_grad():
            expected = torch.softmax(module.act(torch.from_numpy(observations), torch.from_numpy(masks))[0], dim=1)
        answers[name] = agent.probabilities(observations, masks)
        np.testing.assert_allclose(answers[name], expected, atol=1e-6)
    assert not np.allclose(answers["main"], answers["main@0001"], atol=1e-4)


def test_unknown_players_and_runs(run, tmp_path):
    with pytest.raises(KeyError, match=r"main@0007.*main@0000, main@0001"):
        marl_app.load_agent(run[0], "main@0007")
    with pytest.raises(FileNotFoundError, match="no whole checkpoint"):
        marl_app.load_agent(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_single_observation_and_a_stack(agent):
    observations, masks = positions(20)
    stacked = agent.probabilities(observations, masks)
    assert stacked.shape == (20, 7) and stacked.dtype == np.float32
    for row in range(20):
        single = agent.probabilities(observations[row], masks[row])
        assert single.shape == (7,)
        np.testing.assert_allclose(single, stacked[row], atol=1e-6)
    moves = agent.act(observations, masks, greedy=True)
    assert moves.shape == (20,) and moves.dtype == np.int64
    move = agent.act(observations[0], masks[0], greedy=True)
    assert type(move) is int and move == moves[0]
    # Lists and other dtypes are accepted: PettingZoo's masks are int8.
    assert agent.act(observations.tolist(), masks.astype(np.int8), greedy=True).tolist() == moves.tolist()


def test_probabilities(agent):
    observations, masks = positions(500)
    probabilities = agent.probabilities(observations, masks)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (~masks).sum() > 250 and probabilities[~masks].max() < 1e-6
    assert probabilities[masks].min() > 0
    unmasked = agent.probabilities(observations)  # without a mask all moves are legal
    assert (unmasked > 0).all()
    np.testing.assert_array_equal(agent.act(observations, masks, greedy=True), probabilities.argmax(axis=1))


def test_actions_are_sampled_by_their_probabilities(agent):
    observations, masks = positions(2)
    many, legal = np.repeat(observations[:1], 20_000, axis=0), np.repeat(masks[:1], 20_000, axis=0)
    moves = agent.act(many, legal, rng=np.random.default_rng(0))
    expected = agent.probabilities(observations[0], masks[0])
    counts = np.bincount(moves, minlength=7)
    assert counts[~masks[0]].sum() == 0
    slack = 5 * np.sqrt(20_000 * expected * (1 - expected)) + 1e-9  # five standard deviations
    assert (np.abs(counts - 20_000 * expected) <= slack).all()
    again = agent.act(many, legal, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(moves, again)
    assert (agent.act(many, legal) != moves).any()  # without rng: a new generator


def test_wrong_shapes_and_agents_are_refused(agent):
    observations, masks = positions(7)
    with pytest.raises(ValueError, match=r"an observation must be of shape \(6, 7, 2\)"):
        agent.act(observations[0, :, :, 0], masks[0])
    with pytest.raises(ValueError, match=r"an observation must be of shape"):
        agent.act(observations[None], masks)
    # One mask of seven entries for seven observations could be mistaken for one entry per observation.
    with pytest.raises(ValueError, match=r"an action mask must be of shape \(7, 7\)"):
        agent.probabilities(observations, masks[0])
    # What is added to logits would be the opposite of a mask.
    with pytest.raises(ValueError, match="the action mask has the value -inf"):
        agent.probabilities(observations[0], np.where(masks[0], 0, -np.inf))
    with pytest.raises(ValueError, match=r"an action mask must be of shape \(7,\)"):
        agent.probabilities(observations[0], masks[0, :6])
    with pytest.raises(ValueError, match="unknown agent 'player_2': give one of player_0, player_1"):
        agent.act(observations, masks, "player_2")
    with pytest.raises(ValueError, match="unknown agent 2"):
        agent.act(observations, masks, 2)


def test_it_plays_whole_games_in_the_original_environment(agent):
    """In PettingZoo's Connect Four every move is legal, and the probabilities equal those in the native game."""
    rng, finished = np.random.default_rng(0), 0
    for game in range(6):
        original, native = connect_four_v3.env(), ConnectFour(1)
        original.reset(seed=game)
        native.reset(rng)
        row = np.zeros(1, np.int64)
        for name in original.agent_iter():
            observation, _, terminated, _, _ = original.last()
            if terminated:
                rewards = [original.rewards[name] for name in ("player_0", "player_1")]
                np.testing.assert_array_equal(native.scores(row)[0], (1 + np.array(rewards)) / 2)
                finished += 1
                break
            mover = native.acting().argmax(axis=1)
            seen, legal = native.observe(row, mover)[0], native.action_mask(row, mover)[0]
            np.testing.assert_allclose(
                agent.probabilities(observation["observation"], observation["action_mask"], name),
                agent.probabilities(seen, legal),
                atol=1e-6,
            )
            move = agent.act(observation["observation"], observation["action_mask"], name, rng=rng, greedy=game == 0)
            assert observation["action_mask"][move] == 1
            native.step([np.full((1, 2), move)], rng)
            original.step(move)
    assert finished == 6


@pytest.fixture(scope="module")
def relay():
    """A player of Relay: two scouts that share a network with agent ids, and a tank with another network."""
    networks = networks_for_env(Relay(1), agent_id=True)
    rng = np.random.default_rng(0)
    weights = {}
    for network in networks:
        for name, value in network.spec(SMALL).build().state_dict().items():
            weights[f"{network.name}/{name}"] = rng.normal(size=value.shape).astype(np.float32)
    return Agent(encode_player(weights, networks, Relay.agents, SMALL, {"player": "main"}))


def test_actions_of_several_parts(relay):
    rng = np.random.default_rng(1)
    seen = rng.uniform(-1, 1, (400, 3)).astype(np.float32)
    masks = np.tile([True, False, True, False, True], (400, 1))
    actions = relay.act(seen, masks, "scout_0", rng=rng)
    assert actions.shape == (400, 2)
    assert set(actions[:, 0]) == {0} and set(actions[:, 1]) == {0, 2}
    probabilities = relay.probabilities(seen, masks, "scout_0")
    np.testing.assert_allclose(probabilities[:, :2].sum(axis=1), 1, atol=1e-5)  # each part is a distribution
    np.testing.assert_allclose(probabilities[:, 2:].sum(axis=1), 1, atol=1e-5)
    assert probabilities[~masks].max() < 1e-6
    assert relay.act(seen[0], masks[0], "scout_0").shape == (2,)
    assert abs((actions[:, 1] == 2).mean() - probabilities[:, 4].mean()) < 0.1


def test_continuous_actions(relay):
    # The network's interval [-1, 1] is mapped to the environment's [-2, 4] and clipped: 0 becomes 1.
    seen = np.random.default_rng(1).uniform(-1, 1, (4000, 2, 2)).astype(np.float32)
    actions = relay.act(seen, agent="tank_0", rng=np.random.default_rng(2))
    assert actions.shape == (4000, 2) and actions.dtype == np.float32
    assert actions.min() == -2 and actions.max() == 4
    [tank] = [relay._modules["tank"]]
    with torch.no_grad():
        mean, log_std = tank.act(torch.from_numpy(seen[:1]))[0].chunk(2, dim=1)
    greedy = relay.act(seen[0], agent="tank_0", greedy=True)
    np.testing.assert_allclose(greedy, 1 + 3 * np.clip(mean[0].numpy(), -1, 1), rtol=1e-5)
    many = relay.act(np.repeat(seen[:1], 4000, axis=0), agent="tank_0", rng=np.random.default_rng(3))
    raw = mean.numpy() + np.exp(log_std.numpy()) * np.random.default_rng(4).standard_normal((4000, 2))
    np.testing.assert_allclose(many.mean(axis=0), (1 + 3 * np.clip(raw, -1, 1)).mean(axis=0), atol=0.25)
    with pytest.raises(ValueError, match="densities"):
        relay.probabilities(seen, agent="tank_0")


def test_agent_ids_distinguish_agents_that_share_a_network(relay):
    seen = np.random.default_rng(1).uniform(-1, 1, (3,)).astype(np.float32)
    first, second = relay.probabilities(seen, agent="scout_0"), relay.probabilities(seen, agent="scout_1")
    assert not np.allclose(first, second)
    both = relay.probabilities(np.stack([seen, seen]), agent=np.array([0, 2]))  # by index: scout_0, scout_1
    np.testing.assert_allclose(both, np.stack([first, second]), atol=1e-6)


def test_the_agent_is_required_where_agents_differ(relay):
    with pytest.raises(ValueError, match="the agent is required"):
        relay.act(np.zeros(3, np.float32))


def test_agents_of_one_group_with_different_networks():
    """A mapping may give agents with equal spaces different networks; one call evaluates all of them."""
    networks = networks_for_env(Names(1), mapping={"player_0": "low", "player_1": "high"})
    weights = {}
    for network, name in zip(networks, (1, 3), strict=True):
        for key, value in network.spec(SMALL).build().state_dict().items():
            weights[f"{network.name}/{key}"] = np.zeros(value.shape, np.float32)
        weights[f"{network.name}/policy_head.linear.bias"][name] = 50.0
    agent = Agent(encode_player(weights, networks, Names.agents, SMALL, {}))
    assert agent.act(np.zeros((4, 1)), agent=np.array([0, 1, 1, 0])).tolist() == [1, 3, 3, 1]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 1, (6, 7, 2), np.int8),
        spaces.Box(-np.inf, np.inf, (3,), np.float32),
        spaces.Box(np.array([-0.1, -np.inf], np.float32), np.array([0.1, 7.0], np.float32)),
        spaces.Box(0, 255, (2, 2), np.uint8),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "action", [spaces.Discrete(4), spaces.MultiDiscrete([2, 3]), spaces.Box(-2, 4, (2,), np.float32)], ids=str
)
def test_an_encoded_player_keeps_its_spaces(space, action):
    [network] = networks_for_env(Names(1, names=3))
    network = type(network)("player", (0,), 0, space, action, 0)
    weights = {f"player/{name}": value.numpy() for name, value in network.spec(SMALL).build().state_dict().items()}
    [module] = build_modules(*decode(encode_player(weights, [network], ["a"], SMALL, {}))).values()
    assert (module.observation_space, module.action_space) == (space, action)


def test_a_player_of_another_format_is_refused():
    [network] = networks_for_env(Names(1, names=len(RPS)))
    weights = {f"player/{name}": value.numpy() for name, value in network.spec(SMALL).build().state_dict().items()}
    weights, metadata = decode(encode_player(weights, [network], ["a", "b"], SMALL, {}))
    with pytest.raises(ValueError, match="format 1; this program reads 2"):
        build_modules(weights, {**metadata, "format": 1})


@pytest.mark.parametrize("target", ["subprocess.Popen", "builtins.dict", "marl_app.players.agent.Agent"])
def test_a_player_may_only_name_a_network_class(target):
    """The file names the class to build and may be untrusted: only the project's networks are built from it."""
    [network] = networks_for_env(Names(1, names=3))
    weights = {f"player/{name}": value.numpy() for name, value in network.spec(SMALL).build().state_dict().items()}
    weights, metadata = decode(encode_player(weights, [network], ["a", "b"], SMALL, {}))
    with pytest.raises(ValueError, match="is not a network"):
        build_modules(weights, {**metadata, "module_class": target})


def recurrent_agent(cell="gru", share="spaces", critic="local"):
    """Return a recurrent player of tic-tac-toe whose weights are large enough for its memory to matter."""
    model = Recurrent(cell=cell, hidden=[8], memory=5, precision="float32", orthogonal_init=False)
    networks = networks_for_env(TicTacToe(1), share, critic=critic)
    torch.manual_seed(1)
    modules = {network.name: network.spec(model).build() for network in networks}
    weights = {
        f"{network}/{name}": (4 * value).numpy()
        for network, module in modules.items()
        for name, value in module.state_dict().items()
    }
    return Agent(encode_player(weights, networks, TicTacToe.agents, model, {"player": "main"}))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("critic", ["local", "state"])
def test_a_memory_carried_through_a_match_equals_training(cell, critic):
    agent, env, rng = recurrent_agent(cell, critic=critic), TicTacToe(1), np.random.default_rng(0)
    [module] = agent._modules.values()
    assert agent.memory_size == (10 if cell == "lstm" else 5)
    env.reset(rng)
    row, seen, masks, played = np.zeros(1, np.int64), ([], []), ([], []), ([], [])
    memories = [agent.start(), agent.start()]
    assert memories[0].shape == (agent.memory_size,) and memories[0].dtype == np.float32
    while True:
        mover = env.acting().argmax(axis=1)
        [seat] = mover
        observation, mask = env.observe(row, mover)[0], env.action_mask(row, mover)[0]
        seen[seat].append(observation)
        masks[seat].append(mask)
        played[seat].append(agent.probabilities(observation, mask, memory=memories[seat]))
        move, memories[seat] = agent.act(observation, mask, rng=rng, memory=memories[seat])
        assert type(move) is int and mask[move]
        if env.step([np.full((1, 2), move)], rng).over:
            break
    for seat in (0, 1):
        assert len(seen[seat]) >= 2
        batch = {
            "obs": torch.from_numpy(np.stack(seen[seat])),
            "action_mask": torch.from_numpy(np.stack(masks[seat])),
            LENGTHS: torch.tensor([len(seen[seat])]),
            MEMORY: torch.zeros(1, agent.memory_size),
        }
        with torch.no_grad():
            expected = torch.softmax(module._forward(batch)["action_dist_inputs"], dim=1)
        np.testing.assert_allclose(np.stack(played[seat]), expected, atol=1e-5)


def test_memories_of_agents_with_different_networks():
    agent = recurrent_agent(share="none")
    assert len(agent._modules) == 2
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 2, (6, 3, 3, 2), np.int8)
    memory = rng.normal(size=(6, 5)).astype(np.float32)
    seats = np.array([0, 1, 1, 0, 1, 0])
    moves, after = agent.act(seen, agent=seats, greedy=True, memory=memory)
    assert after.shape == (6, 5) and agent.start(6).shape == (6, 5)
    for row, seat in enumerate(seats):
        move, single = agent.act(seen[row], agent=seat, greedy=True, memory=memory[row])
        assert move == moves[row]
        np.testing.assert_allclose(single, after[row], atol=1e-6)


def test_a_recurrent_agent_needs_a_memory_of_its_shape():
    agent, seen = recurrent_agent(), np.zeros((2, 3, 3, 2), np.int8)
    with pytest.raises(ValueError, match=r"give memory of shape \(5,\) \(start\(\) before the first\), not none"):
        agent.act(seen[0])
    with pytest.raises(ValueError, match=r"give memory of shape \(2, 5\).*not \(5,\)"):
        agent.probabilities(seen, memory=agent.start())


def test_an_agent_without_memory_returns_the_action_alone(relay):
    assert relay.memory_size == 0 and relay.start().shape == (0,)
    action = relay.act(np.zeros(3, np.float32), None, "scout_0", memory=None)
    assert action.shape == (2,)


def test_a_recurrent_agent_is_evaluated():
    score = evaluate_anchor(TicTacToe, [recurrent_agent()], "random", 40, np.random.default_rng(0), greedy=False)
    assert 0 < score.score < 1

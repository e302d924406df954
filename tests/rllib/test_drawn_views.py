"""Training in symmetric views: what the trainee sees and does, what the environment gets, what opponents see."""

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

import marl_app
from marl_app.assembly.training import build
from marl_app.config.errors import ConfigError
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.symmetries import Views
from marl_app.players.agent import Agent
from marl_app.players.encoding import encode_player
from marl_app.players.modules.actor_critic import ACTION_MASK
from marl_app.rllib.training.checkpoint import save_checkpoint
from marl_app.store.disk import DiskStore
from tests.rllib.runners import against, collect, make_runner, publish, random_weights
from tests.rllib.runs import running, small

MIRROR = Views(ConnectFour.groups[0].symmetries)
MATCHES = 60


class Spy(ConnectFour):
    """Connect Four that keeps what was seen before each step, the legal actions and the moves that were made."""

    def __init__(self, num_matches):
        super().__init__(num_matches)
        self.steps = []

    def step(self, actions, rng):
        rows, mover = np.arange(self.num_matches), self.acting().argmax(axis=1)
        moves = actions[0][rows, mover].copy()
        self.steps.append((self.observe(rows, mover), self.action_mask(rows, mover), moves))
        return super().step(actions, rng)


def play(tmp_path, *shares):
    """Play 30 steps in views; return the runner, its environment, and (matches, agents, columns) of each step."""
    envs, decisions = [], []

    def make(num_matches):
        envs.append(Spy(num_matches))
        return envs[-1]

    runner = make_runner(make, DiskStore(tmp_path), matches=MATCHES, steps=30, symmetries="random")
    opponent = publish(runner, random_weights(runner, 1, scale=0.1))
    start_all = runner._start_all_matches

    def start_all_and_spy(*arguments):
        start_all(*arguments)
        add = runner._collector.add_decisions
        runner._collector.add_decisions = lambda *row: (decisions.append(row[1:]), add(*row))

    runner._start_all_matches = start_all_and_spy
    assignment = against(*((digest and opponent, share) for digest, share in shares))
    fragment = collect(runner, random_weights(runner, 0, scale=0.1), assignment)
    return runner, envs[-1], decisions, fragment


def test_training_rows_are_views_of_what_was_played(tmp_path):
    """Each row is the original or its mirror image, mask and move included, and about half of them are mirrored."""
    _, env, decisions, _ = play(tmp_path, (None, 1.0))
    assert len(decisions) == len(env.steps) == 30
    mirrored = 0
    for (matches, _, columns), (seen, masks, moves) in zip(decisions, env.steps, strict=True):
        assert (matches == np.arange(MATCHES)).all()
        in_mirror = (columns[Columns.OBS] != seen).any(axis=(1, 2, 3))
        # Symmetric positions, such as the empty board, look alike in both views; there the move decides.
        in_mirror |= columns[Columns.ACTIONS] != moves
        view = in_mirror.astype(np.int64)
        assert (columns[Columns.OBS] == MIRROR.observations(seen, view)).all()
        assert (columns[ACTION_MASK] == MIRROR.masks(masks, view)).all()
        assert (MIRROR.original_actions(columns[Columns.ACTIONS], view) == moves).all()
        mirrored += in_mirror.sum()
    assert 0.35 < mirrored / (30 * MATCHES) < 0.65  # some 120 matches and agents draw 0 or 1; 0.5 +- 3 x 0.046


def test_log_probabilities_are_those_of_the_view(tmp_path):
    runner, _, decisions, _ = play(tmp_path, (None, 1.0))
    module = runner._player_networks.modules["player"]
    for _, _, columns in decisions[:5]:
        with torch.no_grad():
            inputs, _ = module.act(torch.from_numpy(columns[Columns.OBS]), torch.from_numpy(columns[ACTION_MASK]))
        expected = inputs.log_softmax(dim=1).numpy()[np.arange(MATCHES), columns[Columns.ACTIONS]]
        np.testing.assert_allclose(columns[Columns.ACTION_LOGP], expected, atol=1e-5)


def test_a_view_is_kept_for_a_match(tmp_path):
    """A network with a memory must not see the board turn around; after a match a new view is drawn."""
    runner, env, decisions, _ = play(tmp_path, (None, 1.0))
    drawn = runner._views._drawn
    for match in range(MATCHES):
        lengths = runner._matchups.lengths[match]
        for agent in (0, 1):
            views = [
                (columns[Columns.OBS][match] != env.steps[step][0][match]).any()
                for step, (_, agents, columns) in enumerate(decisions)
                if step >= 30 - lengths and agents[match] == agent
            ]
            # A symmetric position looks alike in both views, so "not mirrored" may be either; "mirrored" is certain.
            assert not any(views) or drawn[match, agent] == 1


def test_opponents_see_the_original(tmp_path):
    runner, _, _, _ = play(tmp_path, ("snapshot", 1.0))
    trainee = runner._matchups.is_trainee(np.arange(MATCHES))  # [matches, agents]
    assert (trainee.sum(axis=1) == 1).all()
    assert runner._views._drawn[~trainee].max() == 0 and 0.2 < runner._views._drawn[trainee].mean() < 0.8


def test_an_environment_without_symmetries_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="algorithm.symmetries=random: this environment states no symmetries"):
        build(small(tmp_path, "env=kuhn_poker", "algorithm.symmetries=random"))


# Playing: the mean over all views.


def test_an_averaging_agent_plays_alike_in_the_mirror(tmp_path):
    runner, env, _, _ = play(tmp_path, (None, 1.0))
    spec = runner.config.spec
    blob = encode_player(random_weights(runner, 0, scale=0.1), spec.networks, spec.agents, spec.architecture, {})
    plain, average = Agent(blob), Agent(blob, average_symmetries=True)
    for seen, masks, _ in env.steps[:10]:
        both = np.ones(MATCHES, np.int64)
        mirror_seen, mirror_masks = MIRROR.observations(seen, both), MIRROR.masks(masks, both)
        mirrored = MIRROR.original_probabilities(plain.probabilities(mirror_seen, mirror_masks), both)
        mean = (plain.probabilities(seen, masks) + mirrored) / 2
        np.testing.assert_allclose(average.probabilities(seen, masks), mean, atol=1e-6)
        in_mirror = MIRROR.original_probabilities(average.probabilities(mirror_seen, mirror_masks), both)
        np.testing.assert_allclose(average.probabilities(seen, masks), in_mirror, atol=1e-6)
        assert masks[np.arange(MATCHES), average.act(seen, masks, greedy=True)].all()
    assert np.abs(plain.probabilities(seen, masks) - average.probabilities(seen, masks)).max() > 0.01


def test_a_trained_agent_is_loaded_with_its_symmetries(ray_here, tmp_path):
    with running(tmp_path, "env=tic_tac_toe", "algorithm.symmetries=random") as algorithm:
        algorithm.train()
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
    agent = marl_app.load_agent(tmp_path, average_symmetries=True)
    # All corners of the empty board are alike, and all edges.
    first = agent.probabilities(np.zeros((3, 3, 2), np.int8))
    assert np.ptp(first[[0, 2, 6, 8]]) < 1e-6 and np.ptp(first[[1, 3, 5, 7]]) < 1e-6


def test_an_agent_without_symmetries_cannot_average(ray_here, tmp_path):
    with running(tmp_path, "env=kuhn_poker") as algorithm:
        blob = algorithm.snapshots.encode("main")
    with pytest.raises(ValueError, match="average_symmetries=True: this player was trained in a game that states no"):
        Agent(blob, average_symmetries=True)

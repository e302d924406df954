"""Games as tables equal OpenSpiel's games: every history, every chance node, the distribution of matches."""

import numpy as np
import pyspiel
import pytest

from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.openspiel_tree import OpenSpielTree

GAMES = ("kuhn_poker", "kuhn_poker(players=3)", "leduc_poker", "tiny_bridge_2p", "tiny_hanabi")


def random_actions(env, rng):
    matches, agents = env.acting().nonzero()
    mask = env.action_mask(matches, agents)
    actions = np.zeros((env.num_matches, len(env.agents)), np.int64)
    actions[matches, agents] = (rng.random(mask.shape) * mask).argmax(axis=1)
    return actions


@pytest.mark.parametrize("game", GAMES)
def test_every_history_equals_openspiel(game):
    tree = OpenSpielTree(1, game)._tree
    waiting, visited = [(pyspiel.load_game(game).new_initial_state(), 0)], 0
    while waiting:
        state, node = waiting.pop()
        visited += 1
        player = int(tree.players[node])
        assert tree.returns[node].tolist() == state.returns()
        if state.is_terminal():
            assert player == -4
        elif state.is_chance_node():
            moves, probabilities = zip(*state.chance_outcomes(), strict=True)
            children = tree._chance_children[node][: len(moves)]
            assert np.diff(tree._cumulative[node][: len(moves)], prepend=0.0) == pytest.approx(list(probabilities))
            waiting += [(state.child(move), child) for move, child in zip(moves, children, strict=True)]
        else:
            assert player == state.current_player()
            legal = np.flatnonzero(tree.children[node] >= 0)
            assert legal.tolist() == state.legal_actions()
            for agent in range(len(state.returns())):
                seen = tree.observations[tree.observation_rows[node, agent]]
                assert (seen == tree.copy.observe_state(state, agent)).all()
            waiting += [(state.child(move), tree.children[node][move]) for move in legal]
    assert visited == len(tree.players)


@pytest.mark.parametrize("game", ["kuhn_poker", "leduc_poker"])
def test_matches_have_the_distribution_of_the_adapter(game):
    """Chance draws differ, but mean returns and lengths of 6,000 random matches agree."""
    means = []
    for make in (OpenSpielTree, OpenSpiel):
        env, rng, returns, lengths = make(200, game), np.random.default_rng(0), [], []
        env.reset(rng)
        total, length = np.zeros((200, 2)), np.zeros(200)
        while len(returns) < 6000:
            step = env.step([random_actions(env, rng)], rng)
            total += step.rewards
            length += 1
            ended = np.flatnonzero(step.over)
            returns += total[ended].tolist()
            lengths += length[ended].tolist()
            assert (env.scores(ended).sum(axis=1) == pytest.approx(1.0)) and not step.truncated.any()
            total[ended], length[ended] = 0, 0
            env.reset(rng, ended)
        means.append((np.mean(returns, axis=0), np.std(returns) / np.sqrt(len(returns)), np.mean(lengths)))
    tree, adapter = means
    assert tree[0] == pytest.approx(adapter[0], abs=6 * tree[1])
    assert tree[2] == pytest.approx(adapter[2], abs=0.1)


def test_the_state_holds_the_cards_of_all_agents():
    """In Kuhn poker an information state is the agent (2), its card (3) and the bets (6): entries 2 to 4: the card."""
    env, rng, matches = OpenSpielTree(50, "kuhn_poker"), np.random.default_rng(0), np.arange(50)
    env.reset(rng)
    state = env.state(matches).reshape(50, 2, 11)
    for agent in (0, 1):
        assert (state[:, agent] == env.observe(matches, np.full(50, agent))).all()
    cards = state[:, :, 2:5].argmax(axis=2)
    assert (cards[:, 0] != cards[:, 1]).all() and len(np.unique(cards, axis=0)) == 6  # both orders of 3 pairs of cards


@pytest.mark.parametrize(
    ("game", "what"),
    [
        ("kuhn_pokr", "did you mean kuhn_poker"),
        ("matrix_rps", "not turn-based"),
        ("connect_four", "more than 1,000 histories"),
    ],
)
def test_a_game_without_a_small_tree_is_an_error(game, what, monkeypatch):
    monkeypatch.setattr("marl_app.envs.openspiel_tree.MAX_HISTORIES", 1000)
    with pytest.raises(ValueError, match=what):
        OpenSpielTree(1, game)


def test_a_table_of_too_many_bytes_is_refused_early(monkeypatch):
    # A node of chess has 4,674 actions, 37 kB: the limit of histories alone would allow 40 GB.
    monkeypatch.setattr("marl_app.envs.openspiel_tree.MAX_BYTES", 2**22)
    with pytest.raises(ValueError, match="env.game='chess' has more than 4 MiB of histories"):
        OpenSpielTree(1, "chess")


def test_an_illegal_action_names_the_match():
    env, rng = OpenSpielTree(3, "leduc_poker"), np.random.default_rng(0)
    env.reset(rng)
    with pytest.raises(ValueError, match="illegal action 0 in match 1"):  # no player can fold before a bet
        env.step([np.array([[1, 1], [0, 1], [1, 1]])], rng)

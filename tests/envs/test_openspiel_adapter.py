"""The OpenSpiel adapter against OpenSpiel's games."""

import numpy as np
import pyspiel
import pytest

from marl_app.envs.batched import Openings
from marl_app.envs.checker import check_env
from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.openspiel_tree import OpenSpielTree
from marl_app.envs.random_play import random_actions


def random_value(state: pyspiel.State) -> np.ndarray:
    """Return the exact expected returns [players] of uniformly random play, by traversing the whole game tree."""
    if state.is_terminal():
        return np.array(state.returns())
    if state.is_chance_node():
        moves = state.chance_outcomes()
    else:
        moves = [(action, 1 / len(state.legal_actions())) for action in state.legal_actions()]
    return sum(probability * random_value(state.child(action)) for action, probability in moves)


def mean_returns(game: str, matches: int) -> np.ndarray:
    """Return the mean returns [players] of at least `matches` matches of random play."""
    env, rng = OpenSpiel(100, game), np.random.default_rng(0)
    env.reset(rng)
    totals, ended = np.zeros(len(env.agents)), 0
    running = np.zeros((100, len(env.agents)))
    while ended < matches:
        step = env.step(random_actions(env, rng), rng)
        running += step.rewards
        over = step.over.nonzero()[0]
        totals += running[over].sum(axis=0)
        running[over] = 0
        ended += len(over)
        env.reset(rng, over)
    return totals / ended


def test_random_kuhn_poker_pays_the_first_player_an_eighth():
    # Showdowns have value 0, so only folds count. The first player bets (probability 1/2) and the second folds (1/2):
    # +1/4. The first checks, the second bets and the first folds (1/2 each): -1/8.
    exact = random_value(pyspiel.load_game("kuhn_poker").new_initial_state())
    np.testing.assert_allclose(exact, [1 / 8, -1 / 8])
    # The standard deviation of a return is below 1.6: four standard errors are 4 * 1.6 / sqrt(4000) = 0.1.
    np.testing.assert_allclose(mean_returns("kuhn_poker", 4000), exact, atol=0.1)


def test_random_leduc_poker_pays_the_value_of_the_tree():
    exact = random_value(pyspiel.load_game("leduc_poker").new_initial_state())
    # The standard deviation of a return is about 4: four standard errors are 4 * 4 / sqrt(3000) = 0.3.
    np.testing.assert_allclose(mean_returns("leduc_poker", 3000), exact, atol=0.3)


def test_kuhn_cards_are_uniform_and_hidden():
    env, rng = OpenSpiel(3000, "kuhn_poker"), np.random.default_rng(0)
    env.reset(rng)
    all_matches = np.arange(3000)
    # OpenSpiel's information state: two entries for the player, three for its card, the rest for the bets.
    cards = [env.observe(all_matches, np.full(3000, player))[:, 2:5] for player in (0, 1)]
    for card in cards:
        assert (card.sum(axis=1) == 1).all()  # only the card of the player
        np.testing.assert_allclose(card.mean(axis=0), [1 / 3] * 3, atol=0.04)  # 4 * sqrt(2/9 / 3000) = 0.034
    assert not (cards[0] * cards[1]).any()  # never the same card twice


@pytest.mark.parametrize(
    "game",
    [
        "tic_tac_toe",  # turn-based, observation tensor only
        "goofspiel(num_cards=4,points_order=descending)",  # simultaneous
        "matching_pennies_3p",  # simultaneous, three players
        "oshi_zumo(coins=6,size=2)",  # simultaneous, fewer legal actions as coins run out
        "cliff_walking(horizon=20)",  # one player, a reward at every step
        "nim",
    ],
)
def test_games_without_chance_equal_the_original_step_for_step(game):
    original = pyspiel.load_game(game)
    batch, rng = 8, np.random.default_rng(3)
    env = OpenSpiel(batch, game)
    players = range(original.num_players())
    env.reset(rng)
    states = [original.new_initial_state() for _ in range(batch)]
    running = set(range(batch))
    while running:
        acting = env.acting()
        observed = [env.observe(np.arange(batch), np.full(batch, player)) for player in players]
        masks = {
            (match, player): env.action_mask(np.array([match]), np.array([player]))[0]
            for match, player in np.argwhere(acting)
        }
        [actions] = random_actions(env, rng)
        step = env.step([actions], rng)
        for match in list(running):
            state = states[match]
            tensor = (
                state.information_state_tensor
                if original.get_type().provides_information_state_tensor
                else state.observation_tensor
            )
            for player in players:
                np.testing.assert_array_equal(observed[player][match].ravel(), np.array(tensor(player), np.float32))
            movers = players if state.is_simultaneous_node() else [state.current_player()]
            assert acting[match].nonzero()[0].tolist() == list(movers)
            for player in movers:
                assert masks[match, player].nonzero()[0].tolist() == state.legal_actions(player)
            if state.is_simultaneous_node():
                state.apply_actions([int(action) for action in actions[match]])
            else:
                state.apply_action(int(actions[match, state.current_player()]))
            np.testing.assert_allclose(step.rewards[match], state.rewards(), atol=1e-6)
            assert step.over[match] == state.is_terminal()
            assert (step.terminated[match] == state.is_terminal()).all()
            if state.is_terminal():
                running.discard(match)
        env.reset(rng, step.over.nonzero()[0])


def test_matching_pennies_pays_the_matcher():
    env, rng = OpenSpiel(2, "matrix_mp"), np.random.default_rng(0)
    env.reset(rng)
    assert env.acting().all()
    step = env.step([np.array([[0, 0], [0, 1]])], rng)
    assert step.rewards.tolist() == [[1, -1], [-1, 1]]  # the row player wins if the pennies match
    assert env.scores(np.array([0, 1])).tolist() == [[1, 0], [0, 1]]


def test_scores_of_poker_are_its_chips():
    """Kuhn poker pays one or two chips, and the score is 0.5 + chips / 4, also after a called bet."""
    env, rng = OpenSpiel(200, "kuhn_poker"), np.random.default_rng(0)
    env.reset(rng)
    seen, running = set(), np.ones(200, np.bool_)
    while running.any():
        step = env.step(random_actions(env, rng), rng)
        ended = np.flatnonzero(step.over & running)
        np.testing.assert_array_equal(env.scores(ended), 0.5 + step.rewards[ended] / 4)
        seen |= set(env.scores(ended).ravel().tolist())
        running[ended] = False
        env.reset(rng, np.flatnonzero(step.over))
    assert seen == {0.0, 0.25, 0.75, 1.0}


def test_scores_of_games_without_a_constant_sum_are_win_or_loss():
    env, rng = OpenSpiel(1, "matrix_pd"), np.random.default_rng(0)  # the prisoner's dilemma
    env.reset(rng)
    step = env.step([np.array([[0, 1]])], rng)
    assert step.rewards.tolist() == [[0, 10]] and env.scores(np.array([0])).tolist() == [[0, 1]]


def test_scores_of_three_players_are_the_share_of_the_others_beaten():
    env, rng = OpenSpiel(1, "kuhn_poker(players=3)"), np.random.default_rng(0)
    env.reset(rng)
    assert env.sides == ((0,), (1,), (2,))
    # All players pass: the highest card wins 2, the others lose 1 each. The winner beats both; each loser ties with the
    # other loser and loses to the winner: (0 + 1/2) / 2.
    for _ in range(3):
        step = env.step([np.zeros((1, 3), np.int64)], rng)
    winner = int(step.rewards[0].argmax())
    assert sorted(step.rewards[0].tolist()) == [-1, -1, 2]
    assert env.scores(np.array([0]))[0].tolist() == [1.0 if player == winner else 0.25 for player in range(3)]


def test_an_illegal_action_is_an_error_that_names_match_agent_and_step():
    env, rng = OpenSpiel(2, "tic_tac_toe"), np.random.default_rng(0)
    env.reset(rng)
    env.step([np.array([[4, 0], [5, 0]])], rng)
    with pytest.raises(ValueError, match="tic_tac_toe: match 1, agent player_1, step 1: illegal action 5"):
        env.step([np.array([[0, 0], [0, 5]])], rng)


def test_stepping_a_match_that_has_ended_is_an_error():
    env, rng = OpenSpiel(1, "matrix_mp"), np.random.default_rng(0)
    env.reset(rng)
    env.step([np.zeros((1, 2), np.int64)], rng)
    with pytest.raises(ValueError, match="match 0, step 1: the match has ended"):
        env.step([np.zeros((1, 2), np.int64)], rng)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("kuhn_pokr", "no game 'kuhn_pokr'; did you mean kuhn_poker"),
        ("kuhn_poker(cards=3)", "Unknown parameter 'cards'"),
        ("mfg_garnet", "mean-field"),
        ("negotiation", "draws chance outcomes inside the game"),
        ("nfg_game", "cannot be loaded: map::at; its parameters: filename"),
        ("crossword", "has no observations as tensors: ObservationTensorShape unimplemented"),
    ],
)
def test_an_unsupported_game_is_a_one_line_error_that_names_the_key(game, message):
    with pytest.raises(ValueError, match="env.game=") as caught:
        OpenSpiel(1, game)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_name_of_a_game_may_be_a_number():
    assert OpenSpiel(1, 2048).openspiel_game == "2048"  # what YAML makes of env.game=2048


def test_games_whose_root_is_a_chance_node_pass_the_checker():
    # The batch and the single match draw different deals from one generator: there is nothing to compare then.
    check_env(lambda count: OpenSpiel(count, "euchre"), steps=20)


def test_openings_need_a_turn_based_game():
    assert OpenSpiel(1, "kuhn_poker", Openings(0.5, 1, 2)).openings == (0.5, 1, 2)
    with pytest.raises(ValueError, match="env.openings: only turn-based games"):
        OpenSpiel(1, "matrix_mp", Openings(0.5, 1, 2))


@pytest.mark.parametrize("kind", [OpenSpiel, OpenSpielTree])
def test_partners_are_one_side(kind):
    # In a game in which all get the same, all are one team by default.
    assert kind(1, "tiny_hanabi").sides == ((0, 1),)
    assert kind(1, "tiny_hanabi", sides=[["player_0"], ["player_1"]]).sides == ((0,), (1,))
    env = kind(1, "kuhn_poker(players=4)", sides=[["player_0", "player_2"], ["player_[13]"]])
    assert env.sides == ((0, 2), (1, 3)) and env.stake is None
    assert kind(1, "kuhn_poker").stake is not None
    with pytest.raises(ValueError, match="env.sides: agent 'player_1' is on no side"):
        kind(1, "kuhn_poker", sides=[["player_0"]])


def test_scores_of_partners_are_those_of_their_summed_returns():
    # Four players of Kuhn poker, partners opposite each other: the side with the higher sum of chips wins.
    rng = np.random.default_rng(0)
    env = OpenSpiel(16, "kuhn_poker(players=4)", sides=[["player_0", "player_2"], ["player_1", "player_3"]])
    env.reset(rng)
    returns = np.zeros((16, 4))
    seen = 0
    while seen < 40:
        matches, agents = env.acting().nonzero()
        masks = env.action_mask(matches, agents)
        actions = np.zeros((16, 4), np.int64)
        actions[matches, agents] = [rng.choice(mask.nonzero()[0]) for mask in masks]
        step = env.step([actions], rng)
        returns += step.rewards
        ended = step.over.nonzero()[0]
        if len(ended):
            scores = env.scores(ended)
            won = returns[ended][:, [0, 2]].sum(axis=1) - returns[ended][:, [1, 3]].sum(axis=1)
            assert scores[:, 0].tolist() == (0.5 + 0.5 * np.sign(won)).tolist()
            assert (scores.sum(axis=1) == 1).all()
            returns[ended] = 0
            env.reset(rng, ended)
            seen += len(ended)

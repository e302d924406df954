"""Cross-play with known results: sides, seeds, counting of matches, and the pairs that get the budget."""

import numpy as np
import pytest

from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.pettingzoo_adapter import PettingZoo
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.envs.two_step import TwoStep
from marl_app.evaluation.cross_play import Matches, cross_play, seatings
from marl_app.evaluation.next_pair import doubt_removed, error_removed, next_pair
from marl_app.evaluation.results import Batch, CrossPlayResults
from marl_app.league.meta.nash import Nash
from marl_app.players.anchors import Mcts
from marl_app.players.policy import RandomPolicy


def batch(players, scores):
    return Batch(np.array(players, np.int64), np.array(scores, np.float32))


def expected(elo):
    """The score of row against column by Elo's formula, [n, n]."""
    elo = np.array(elo, float)
    return 1 / (1 + 10 ** ((elo[None, :] - elo[:, None]) / 400))


def random_results(scores, matches=16):
    """A `PlayPair` with random winners: row wins against column with probability `scores` [n, n]."""

    def play(first, second, number):
        rng = np.random.default_rng((first, second, number))
        won = (rng.random(matches) < scores[first, second]).astype(np.float32)
        return batch([[first, second]] * matches, np.stack([won, 1 - won], axis=1))

    return play


def table(points, games, mixed=None):
    """Results with these sums and without single matches."""
    results = CrossPlayResults([f"p{number}" for number in range(len(games))], mixed=mixed)
    results.points, results.games = points, games
    return results


def test_matches_count_for_both_players():
    results = CrossPlayResults(["a", "b", "c"])
    # a wins once on each side, draws one match; a against c is not played.
    results.add_batch(0, 1, batch([[0, 1], [1, 0], [0, 1], [1, 0]], [[1, 0], [0, 1], [0.5, 0.5], [1, 0]]))
    assert results.win_rates[0, 1] == 2.5 / 4 and results.win_rates[1, 0] == 1.5 / 4 and results.win_rates[0, 2] == 0.5
    assert results.games.tolist() == [[0, 4, 0], [4, 0, 0], [0, 0, 0]] and results.played == 4
    assert results.side_scores.tolist() == [0.625, 0.375]
    assert results.intervals[0, 2].tolist() == [0, 1]


def test_with_three_sides_only_the_score_of_the_single_side_counts():
    results = CrossPlayResults(["a", "b"])
    # a alone beats both others; a alone comes between two bs; b alone loses to both as.
    results.add_batch(0, 1, batch([[0, 1, 1], [1, 0, 1], [0, 0, 1]], [[1, 0.25, 0.25], [1, 0.5, 0], [0.75, 0.75, 0]]))
    assert results.points[0, 1] == 1 + 0.5 + (1 - 0) and results.points[1, 0] == 3 - 2.5


def test_a_player_and_its_copy_score_a_half_exactly():
    """Both halves of a batch use the same seeds, so a win on one side is a loss on the other."""
    for make_env, make_player in (
        (ConnectFour, lambda: RandomPolicy(ConnectFour(1))),
        (TicTacToe, lambda: Mcts("tic_tac_toe", 5)),
        (lambda n: OpenSpiel(n, "kuhn_poker(players=3)"), lambda: RandomPolicy(OpenSpiel(1, "kuhn_poker(players=3)"))),
    ):
        play = Matches(make_env, [make_player(), make_player()], 48, 0, greedy=False)
        results = CrossPlayResults(["one", "copy"])
        for number in range(3):
            results.add_batch(0, 1, play(0, 1, number))
        play.close()
        assert results.win_rates[0, 1] == pytest.approx(0.5, abs=1e-6) and results.played == 144


def test_both_players_play_every_side_and_both_roles():
    env = OpenSpiel(1, "kuhn_poker(players=3)")
    assert (seatings(2), seatings(3)) == (2, 6)
    play = Matches(lambda n: OpenSpiel(n, "kuhn_poker(players=3)"), [RandomPolicy(env)] * 2, 12, 0, greedy=False)
    played = play(0, 1, 0)
    seats = played.seats
    assert played.half.tolist() == [0, 0, 1, 1] * 3  # per side, with common seeds
    # Each player has each of the three sides as its single side in two matches.
    alone = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert sorted(map(tuple, seats.tolist())) == sorted(tuple(row) for row in alone for _ in range(2))


def test_halves_share_seeds_only_if_both_players_can_swap_sides():
    players = [RandomPolicy(TicTacToe(1)), RandomPolicy(TicTacToe(1))]
    for sides, halves in (([None, None], [0, 0, 1, 1]), ([0, 1], [0] * 4), ([None, 1], [0] * 4)):
        play = Matches(TicTacToe, players, 4, 0, greedy=False, sides=sides)
        assert play(0, 1, 0).half.tolist() == halves
        play.close()


def test_teams_of_two_on_three_sides():
    def make_env(matches):
        sides = [["agent_0", "agent_1"], ["agent_2", "agent_3"], ["agent_4", "agent_5"]]
        return PettingZoo(matches, "mpe2.simple_spread_v3", {"N": 6, "max_cycles": 2}, sides)

    play = Matches(make_env, [RandomPolicy(make_env(1)) for _ in range(2)], 6, 0, greedy=False)
    batch = play(0, 1, 0)
    # A score is the share of the two other sides beaten, so those of a match sum to 1.5.
    assert batch.seats.shape == (6, 3) and batch.scores.sum(axis=1) == pytest.approx([1.5] * 6)


def test_a_batch_depends_on_its_pair_and_number_only():
    players = [RandomPolicy(ConnectFour(1)), Mcts("connect_four", 5), RandomPolicy(ConnectFour(1))]
    play, replay = (Matches(ConnectFour, players, 16, 7, greedy=False) for _ in range(2))
    first = play(0, 1, 3)
    replay(1, 2, 0)
    again, copy, later = replay(0, 1, 3), replay(2, 1, 3), replay(0, 1, 4)
    assert np.array_equal(first.scores, again.scores) and np.array_equal(first.seats, again.seats)
    assert np.array_equal(first.scores, copy.scores)  # player 2 is a copy of player 0, and all pairs have common seeds
    assert not np.array_equal(first.scores, later.scores)


def test_one_side_and_a_batch_of_uneven_seatings_are_errors():
    with pytest.raises(ValueError, match="one side, so a player has no opponent"):
        Matches(TwoStep, [], 2, 0, greedy=False)
    with pytest.raises(ValueError, match="batch=3 must be a multiple of 2"):
        Matches(ConnectFour, [], 3, 0, greedy=False)


def test_every_pair_plays_and_the_budget_is_kept():
    results = CrossPlayResults(list("abcd"))
    pairs = list(cross_play(results, random_results(expected([0, 100, 200, 300])), 16, 6 * 16 + 40))
    assert len(set(pairs[:6])) == 6 and results.played == 6 * 16 + 48  # rounded up to whole batches
    assert (results.games == results.games.T).all() and (results.games[~np.eye(4, dtype=bool)] >= 16).all()


def test_the_budget_goes_to_the_uncertain_pair():
    # b and c are nearly equal, and all others are 600 Elo away: only the order of b and c is in doubt, and then the
    # distances of the others, about which matches between a and d are the least informative. Every second batch goes to
    # the pair whose mean score is the least certain, so each pair gets a share.
    results = CrossPlayResults(list("abcd"))
    list(cross_play(results, random_results(expected([0, 600, 630, 1230])), 16, 40 * 16))
    assert results.games[1, 2] == results.games.max() > 1.5 * results.played / 6
    assert results.games[0, 3] == results.games[~np.eye(4, dtype=bool)].min() < 0.7 * results.played / 6


def test_every_second_batch_goes_to_the_least_certain_mean_score():
    # Certified ranks assume no ratings: pairs of known order need matches too. Pair (0, 2) has the fewest matches, but
    # the ratings predict its result; pair (1, 2) has as few, and is certain: one player wins all.
    games = np.array([[0, 100, 20], [100, 0, 20], [20, 20, 0.0]])
    results = table(np.array([[0, 50, 10], [50, 0, 20], [10, 0, 0.0]]), games)
    results.batches = [batch([[0, 1]], [[1, 0]])]
    assert next_pair(results, 16) == (0, 2)
    assert error_removed(results, 16).argmin() == 0


def test_the_level_above_zero_is_in_doubt_too():
    # The order is clear and player 0, whose Elo is zero, has few games: the pair that links it to the others is chosen.
    elo = np.array([0.0, 500, 1000, 1500])
    games = np.full((4, 4), 200.0) - 200 * np.eye(4)
    games[0, 1:] = games[1:, 0] = 20
    assert next_pair(table(expected(elo) * games, games), 16) == (0, 1)


def test_pairs_of_the_nash_mixture_are_worth_more_than_other_pairs():
    # Three players of rock, paper, scissors with win rates of 0.9, and a fourth that loses to each with the same rate.
    # The Nash mixture is a third of each of the first three, without the fourth.
    scores = np.array([[0.5, 0.1, 0.9, 0.9], [0.9, 0.5, 0.1, 0.9], [0.1, 0.9, 0.5, 0.9], [0.1, 0.1, 0.1, 0.5]])
    games = np.full((4, 4), 100.0) - 100 * np.eye(4)
    value = dict(
        zip(zip(*np.triu_indices(4, 1), strict=True), doubt_removed(table(scores * games, games), 10), strict=True)
    )
    assert min(value[0, 1], value[0, 2], value[1, 2]) > max(value[0, 3], value[1, 3], value[2, 3])


def test_a_pair_with_many_games_is_worth_less():
    games = np.array([[0, 10, 1000], [10, 0, 1000], [1000, 1000, 0.0]])
    points = games / 2
    assert next_pair(table(points, games), 10) == (0, 1)
    assert next_pair(table(points, np.where(games == 1000, 0, games)), 10) == (0, 2)  # a pair without games comes first


def test_players_that_may_not_be_mixed_have_no_mass():
    # The last beats all others, so it has all the mass; if it may not be mixed, the second has.
    scores = np.array([[0.5, 0.2, 0], [0.8, 0.5, 0], [1, 1, 0.5]])
    games = np.full((3, 3), 10.0) - 10 * np.eye(3)
    assert table(scores * games, games).mixture(Nash()).tolist() == [0, 0, 1]
    without = table(scores * games, games, mixed=[0, 1])
    assert without.mixture(Nash())[:2].tolist() == [0, 1] and np.isnan(without.mixture(Nash())[2])
    assert np.isfinite(doubt_removed(without, 10)).all()
    assert np.isnan(table(scores * games, games, mixed=[]).mixture(Nash())).all()

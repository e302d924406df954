"""Certified ranks and cycles: tables with known answers, and the coverage of simulated tables of known players."""

import numpy as np
import pytest

from marl_app.evaluation.certified import certify, pair_intervals
from marl_app.evaluation.cross_play import cross_play
from marl_app.evaluation.results import Batch, CrossPlayResults
from marl_app.league.payoff import wilson

RPS = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
LADDER = np.array([[0.5, 0.8, 0.9, 1], [0.2, 0.5, 0.7, 0.9], [0.1, 0.3, 0.5, 0.8], [0, 0.1, 0.2, 0.5]])


def halves(won, shared=False):
    """Return a batch between players 0 and 1 of results `won` [M] of player 0; the first half on side 0."""
    half = (np.arange(len(won)) >= len(won) // 2).astype(np.int64)
    seats = np.stack([half, 1 - half], axis=1)
    scores = np.stack([np.where(half == 0, won, 1 - won), np.where(half == 0, 1 - won, won)], axis=1)
    return Batch(seats, scores.astype(np.float32), half if shared else None)


def between(first, second, batch):
    """Return the batch with other players in the places of 0 and 1."""
    return Batch(np.where(batch.seats == 0, first, second), batch.scores, batch.half)


def played(scores, games, **settings):
    """Return results in which row wins exactly the share `scores` [n, n] of its `games` against column."""
    results = CrossPlayResults([f"p{number}" for number in range(len(scores))], **settings)
    for first, second in zip(*np.triu_indices(len(scores), 1), strict=True):
        if results.can_meet[first, second]:
            won = (np.arange(games) < round(scores[first, second] * games)).astype(float)
            results.add_batch(first, second, between(first, second, halves(won)))
    return results


def ranks(of):
    return list(zip(of.best.tolist(), of.worst.tolist(), strict=True))


def test_rock_paper_scissors_has_one_certain_cycle():
    # Every player scores a half against equal shares, and against the lottery, which is a third each.
    found = certify(played(RPS, 100))
    assert found.cycles == [(0, 2, 1)] and found.estimated_cycles == 1
    assert found.beats.tolist() == (RPS > 0.5).tolist()
    assert ranks(found.uniform) == ranks(found.lottery) == [(1, 3)] * 3
    assert found.uniform.score == pytest.approx([0.5] * 3)
    assert found.lottery.weights == pytest.approx(np.full((3, 3), 1 / 3))


def test_three_games_prove_nothing():
    found = certify(played(RPS, 3))
    assert not found.cycles and found.estimated_cycles == 1 and not found.beats.any()
    assert ranks(found.uniform) == [(1, 3)] * 3
    nothing = certify(CrossPlayResults(["a", "b"]))
    assert ranks(nothing.uniform) == [(1, 2)] * 2 and nothing.low[0].tolist() == [0.5, 0]


def test_a_ladder_is_known_exactly_with_many_games():
    found = certify(played(LADDER, 2000))
    assert ranks(found.uniform) == [(1, 1), (2, 2), (3, 3), (4, 4)] and not found.cycles
    assert found.uniform.weights[0] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert found.uniform.score[0] == pytest.approx(0.9)
    # The best player is the whole lottery; against it the others score 0.2, 0.1 and 0.
    assert found.lottery.weights[3].tolist() == [1, 0, 0, 0] and found.lottery.score[0] == 0.5
    assert ranks(found.lottery) == ranks(found.uniform)
    assert found.beats.sum(axis=1).tolist() == [3, 2, 1, 0]
    few = certify(played(LADDER, 20))
    assert all(best <= place <= worst for place, (best, worst) in enumerate(ranks(few.uniform), 1))
    assert (few.uniform.high - few.uniform.low > found.uniform.high - found.uniform.low).all()


def test_intervals_are_mirrors_and_contain_the_mean_scores():
    results = played(LADDER, 50)
    low, high = pair_intervals(results)
    assert low == pytest.approx(1 - high.T) and (low <= results.win_rates).all() and (results.win_rates <= high).all()
    # Wider than an interval for one pair and one number of games, by the price of all pairs and all numbers.
    ends = wilson(results.win_rates[0, 1:], results.games[0, 1:])
    assert (low[0, 1:] < ends[:, 0]).all()


def test_players_of_one_side_are_ranked_among_themselves():
    # 0 and 1 play side 0, 2 and 3 side 1; 0 is better than 1, and 2 than 3. 4 plays any side, and may not be mixed.
    scores = np.full((5, 5), 0.5)
    scores[0, 2:4], scores[1, 2:4] = (0.6, 0.9), (0.1, 0.5)
    found = certify(played(scores, 2000, sides=[0, 0, 1, 1, None], mixed=[0, 1, 2, 3]))
    assert ranks(found.uniform) == [(1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]
    assert found.uniform.weights[0] == pytest.approx([0, 0, 1 / 3, 1 / 3, 1 / 3])
    # 0 and 2 are best against all of the other side. Players of both sides are opponents of 4, with equal shares.
    assert found.lottery.weights[0] == pytest.approx([0, 0, 1, 0, 0])
    assert found.lottery.weights[4] == pytest.approx([0.5, 0, 0.5, 0, 0])
    assert (found.low[0, 1], found.high[0, 1]) == (0, 1)
    # With players of one side only there is no lottery, and no rank against it.
    alone = certify(played(scores[:2, :2], 8, sides=[0, None]))
    assert ranks(alone.lottery) == [(0, 0)] * 2 and np.isnan(alone.lottery.score).all()


def test_matches_without_the_single_side_do_not_count():
    results = CrossPlayResults(["a", "b"])
    results.add_batch(0, 1, halves(np.array([1, np.nan, 1, np.nan])))
    full = CrossPlayResults(["a", "b"])
    full.add_batch(0, 1, halves(np.ones(2)))
    assert np.array_equal(pair_intervals(results), pair_intervals(full)) and results.games[0, 1] == 2
    results.add_batch(0, 1, halves(np.full(2, np.nan)))
    assert np.array_equal(pair_intervals(results), pair_intervals(full))


def test_halves_with_shared_seeds_count_as_one():
    # If the second half always repeats the first one, 100 matches are 50.
    won = (np.arange(50) < 30).astype(float)
    both, once = (CrossPlayResults(["a", "b"]) for _ in range(2))
    both.add_batch(0, 1, halves(np.tile(won, 2), shared=True))
    once.add_batch(0, 1, halves(won))
    assert pair_intervals(both)[0] == pytest.approx(pair_intervals(once)[0])
    # Batches in which swapped sides cancel all luck: their means are known to be a half, but not single matches.
    draws = CrossPlayResults(["a", "b"])
    for _ in range(200):
        draws.add_batch(0, 1, halves(np.array([1.0, 0.0]), shared=True))
    low, high = pair_intervals(draws)
    assert 0.46 < low[0, 1] < high[0, 1] < 0.54
    # 200 matches whose luck is not known to cancel
    assert np.ptp(np.stack(pair_intervals(played(np.full((2, 2), 0.5), 200)))[:, 0, 1]) > 0.15


def test_a_copy_changes_neither_weights_nor_ranks_against_the_lottery():
    rng = np.random.default_rng(0)
    for _ in range(10):
        edges = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], (4, 4))
        scores = np.triu(edges, 1) + np.tril(1 - edges.T, -1) + np.eye(4) / 2
        order = [0, 1, 2, 3, 0]  # the last player is a copy of the first
        one, copied = (certify(played(scores[np.ix_(o, o)], 10_000)).lottery for o in (order[:4], order))
        merged = copied.weights[1, :4] + np.array([copied.weights[1, 4], 0, 0, 0])
        assert merged == pytest.approx(one.weights[1], abs=1e-6)
        assert copied.score[:4] == pytest.approx(one.score) and copied.score[4] == pytest.approx(copied.score[0])
        # The same players are certainly above each other; the copy has a rank too.
        above, also = (of.low[:, None] > of.high for of in (one, copied))
        assert (also[:4, :4] == above).all() and (also[4, :4] == above[0]).all()
        assert (copied.best[:4] == one.best + above[0]).all()


def test_a_copy_changes_ranks_against_equal_shares():
    # 0 beats 1 beats 2 beats 0, and 2 has the largest mean score. Two copies of 1, which 0 beats, lift 0 above 2.
    scores = np.array([[0.5, 0.9, 0.05], [0.1, 0.5, 0.8], [0.95, 0.2, 0.5]])
    order = [0, 1, 2, 1, 1]
    plain, copied = (certify(played(scores[np.ix_(o, o)], 20_000)) for o in (order[:3], order))
    assert plain.uniform.worst[2] < plain.uniform.best[0] and copied.uniform.worst[0] < copied.uniform.best[2]
    assert ranks(copied.lottery)[1] == (1, 5) and ranks(plain.lottery)[1] == (1, 3)  # all are in the lottery


def is_covered(results, scores):
    """Return whether pairs, mean scores, ranks and cycles that are certified are true, for expected `scores` [n, n]."""
    found = certify(results)
    true = ((found.low <= scores) & (scores <= found.high)).all() and (scores > 0.5)[found.beats].all()
    true &= all(scores[i, j] > 0.5 < scores[j, k] and scores[k, i] > 0.5 for i, j, k in found.cycles)
    for of in (found.uniform, found.lottery):
        mean = (of.weights * scores).sum(axis=1)
        rank = 1 + (mean > mean[:, None] + 1e-12).sum(axis=1)
        last = len(mean) - (mean < mean[:, None] - 1e-12).sum(axis=1)  # if all equal players were above
        true &= ((of.low <= mean + 1e-9) & (mean <= of.high + 1e-9) & (of.best <= rank) & (last <= of.worst)).all()
    return bool(true), found


def random_scores(rng, n=4):
    """Return expected scores [n, n]: a ladder or no order at all, with close and with clear pairs."""
    strength = rng.normal(0, rng.choice([0.2, 1, 3]), n)
    logits = strength[:, None] - strength + rng.choice([0, 2]) * rng.normal(size=(n, n))
    upper = np.triu(1 / (1 + np.exp(-logits)), 1)
    return upper + np.tril(1 - upper.T, -1) + np.eye(n) / 2


def chosen_by_cross_play(scores, rng, matches=10):
    """Play batches of the pairs that cross-play chooses."""
    results = CrossPlayResults([f"p{number}" for number in range(len(scores))])

    def play(first, second, number):
        return between(first, second, halves((rng.random(matches) < scores[first, second]).astype(float)))

    list(cross_play(results, play, matches, 20 * matches))
    return results


def stopped_when_wrong(scores, rng, matches=4, batches=20):
    """Play each pair until its mean score is as improbable as it ever is in 20 batches; both halves share seeds."""
    results = CrossPlayResults([f"p{number}" for number in range(len(scores))])
    luck = rng.random((batches, matches // 2))  # common to all pairs
    for first, second in zip(*np.triu_indices(len(scores), 1), strict=True):
        won = (luck < scores[first, second]).astype(float)
        error = np.abs(np.cumsum(won.mean(axis=1) - scores[first, second])) / np.sqrt(np.arange(1, batches + 1))
        for row in won[: error.argmax() + 1]:
            batch = halves(np.tile(row, 2), shared=True)
            results.add_batch(first, second, between(first, second, batch))
    return results


@pytest.mark.parametrize(("play", "tables"), [(chosen_by_cross_play, 60), (stopped_when_wrong, 200)])
def test_all_of_it_is_true_in_at_least_95_percent_of_tables(play, tables):
    # Everything at once: intervals of all pairs, mean scores, ranks and cycles. Intervals for a fixed number of games
    # fail under the second rule, which knows the true scores and the future.
    rng = np.random.default_rng(0)
    covered = wilson_covered = decided = 0
    for _ in range(tables):
        scores = random_scores(rng)
        results = play(scores, rng)
        true, found = is_covered(results, scores)
        covered += true
        decided += (found.uniform.worst - found.uniform.best < 3).any() or found.beats.any()
        low, high = np.moveaxis(results.intervals, -1, 0)
        wilson_covered += ((low <= scores) & (scores <= high)).all()
    print(play.__name__, covered / tables, wilson_covered / tables, decided / tables)
    assert covered >= 0.95 * tables
    assert decided > 0.3 * tables  # not for being empty
    if play is stopped_when_wrong:
        assert wilson_covered < 0.5 * tables

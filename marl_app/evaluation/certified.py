"""What the matches of cross-play prove: the best and worst rank of each player, and the cycles of three, at 95 %.

**All at once.** Every pair of players gets an interval of its expected score, and with a probability of 95 % all of
them contain their score: the probability of an error is divided equally among the pairs (Bonferroni), which needs no
independence between pairs. Everything below follows from these intervals, so all of it holds together, and an opponent
mixture may be chosen after the matches.

**At any number of matches.** Cross-play gives further matches to the pairs that look uncertain, and all pairs use
common seeds, so how many matches a pair gets may depend on its own results, past and, through other pairs, future ones.
An interval for a fixed number of matches (Wilson, Clopper and Pearson) does not hold then. A confidence sequence does,
because it holds at all numbers of matches of a pair at once (`confidence_sequence.py`).

**Shared seeds.** The two halves of a batch, in which sides are swapped, share seeds, so their matches are not
independent. A pair is bounded in two ways, and both hold: the mean of the intervals of the two halves, within which
matches are independent; and the interval from the means of whole batches, which are independent. The latter is narrower
once there are hundreds of matches, most of all where common seeds remove luck.

**Ranks.** A player is ranked by its mean score against a stated mixture of opponents, and is certainly above another
player if its interval of that mean is. This is the best that follows from the pairs: the two players' only common
number is their own match, whose worst case for one is the worst case for the other. Two mixtures: equal shares of all
other players, in which copies of a player count several times; and the maximal lottery of the estimated payoff, which
copies do not change (`lottery.py`). The intervals are for exactly that mixture, not for the unknown lottery of the true
payoff. With a player's rank r, r - 1 players have a larger mean score; players of equal mean scores may have any order.

Lanctot et al. (2023), "Evaluating agents using social choice theory", argue for maximal lotteries; Rowland et al.
(2019, "Multiagent evaluation under incomplete information") bound alpha-rank by confidence intervals of pairs in a
similar way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.envs.batched import Bools, Ints
from marl_app.evaluation.confidence_sequence import BINS, histogram, mean_intervals
from marl_app.evaluation.lottery import MaximalLottery
from marl_app.evaluation.results import CrossPlayResults
from marl_app.league.payoff import Float64s

CONFIDENCE = 0.95
SAMPLES = 3  # of a pair: its two halves and its batches


@dataclass(frozen=True, eq=False)
class MixtureRanks:
    """The players' ranks by mean score against a mixture of opponents.

    weights: [n, n], row: the shares of a player's opponents, summing to 1; 0 if the mixture has none that it can meet.
    score, low, high: [n], the estimated mean score and its interval; NaN without opponents.
    best, worst: int64 [n], the ranks that the intervals allow, from 1; 0 without opponents. Players that can play one
        side only are ranked among those of the same side.
    """

    weights: Float64s
    score: Float64s
    low: Float64s
    high: Float64s
    best: Ints
    worst: Ints


@dataclass(frozen=True, eq=False)
class Certified:
    """What holds with 95 % confidence, all of it together.

    low, high: [n, n], the interval of the expected score of row against column; [0, 1] without matches.
    beats: [n, n] bool, whether row certainly scores more than 0.5 against column.
    cycles: three players each, the first beats the second, the second the third and the third the first, all certainly;
        the surest cycle first, by its least certain pair.
    estimated_cycles: the number of such cycles in the mean scores, certain or not.
    uniform, lottery: the ranks against each mixture.
    """

    low: Float64s
    high: Float64s
    beats: Bools
    cycles: list[tuple[int, int, int]]
    estimated_cycles: int
    uniform: MixtureRanks
    lottery: MixtureRanks


def certify(results: CrossPlayResults) -> Certified:
    """Return what the matches prove about the players."""
    low, high = pair_intervals(results)
    beats: Bools = low > 0.5
    count = len(low)
    uniform = results.can_meet & ~np.eye(count, dtype=np.bool_)
    # Against a copy of itself a player scores 0.5, so a mixture may contain the player that it is to rank. A player
    # that may not be mixed has the probability NaN.
    lottery = np.nan_to_num(results.mixture(MaximalLottery())) * results.can_meet
    return Certified(
        low=low,
        high=high,
        beats=beats,
        cycles=cycles_of_three(beats, low),
        estimated_cycles=len(cycles_of_three(results.win_rates > 0.5, results.win_rates)),
        uniform=_ranks(results, uniform.astype(np.float64), low, high),
        lottery=_ranks(results, lottery, low, high),
    )


def pair_intervals(results: CrossPlayResults) -> tuple[Float64s, Float64s]:
    """Return the ends [n, n] of simultaneous intervals of the expected scores of row against column.

    Those of column against row are 1 minus them; [0, 1] without matches, and 0.5 on the diagonal.
    """
    count = len(results.players)
    first, second = np.triu_indices(count, 1)
    samples = _samples(results)[:, first, second]  # [SAMPLES, pairs, bins]
    pairs = max(int(results.can_meet[first, second].sum()), 1)
    ends = mean_intervals(samples.reshape(-1, BINS + 1), (1 - CONFIDENCE) / (SAMPLES * pairs)).reshape(
        SAMPLES, len(first), 2
    )
    halves, batches = ends[:2], ends[2]
    # A pair that can be seated in one way only has all matches in the first half.
    by_half = np.where(samples[1].any(axis=-1)[:, None], halves.mean(axis=0), halves[0])
    low, high = np.full((count, count), 0.5), np.full((count, count), 0.5)
    # Both intervals contain the mean score of the pair; `minimum` is for rounding.
    low[first, second] = np.maximum(by_half[:, 0], batches[:, 0])
    high[first, second] = np.maximum(np.minimum(by_half[:, 1], batches[:, 1]), low[first, second])
    low[second, first], high[second, first] = 1 - high[first, second], 1 - low[first, second]
    return low, high


def _samples(results: CrossPlayResults) -> Float64s:
    """Return histograms [SAMPLES, n, n, bins] of the scores of row against column, for row < column.

    The samples are the matches of the first halves, those of the second halves, and the means of batches.
    """
    count = len(results.players)
    counts: Float64s = np.zeros((SAMPLES, count, count, BINS + 1))
    for batch in results.batches:
        first, second = int(batch.seats[0].min()), int(batch.seats[0].max())
        scores = batch.scores_of(first)
        counted = ~np.isnan(scores)  # the single side took part
        if not counted.any():
            continue
        half = np.zeros(len(scores), np.int64) if batch.half is None else batch.half
        for number in range(2):
            counts[number, first, second] += histogram(scores[counted & (half == number)])
        counts[2, first, second] += histogram([scores[counted].mean()])
    return counts


def _ranks(results: CrossPlayResults, shares: Float64s, low: Float64s, high: Float64s) -> MixtureRanks:
    """Return the ranks by mean score against `shares` [n, n], whose rows are made to sum to 1."""
    total = shares.sum(axis=1, keepdims=True)
    weights: Float64s = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    ranked = total[:, 0] > 0
    score, lowest, highest = (
        np.where(ranked, (weights * ends).sum(axis=1), np.nan) for ends in (results.win_rates, low, high)
    )
    # [n, n] bool: players are compared if they have the same opponents, so are of the same side or of any side
    same = np.array([[one == other for other in results.sides] for one in results.sides], np.bool_)
    compared = same & ranked[:, None] & ranked
    above = compared & (lowest[:, None] > highest)
    best = np.where(ranked, 1 + above.sum(axis=0), 0)
    worst = np.where(ranked, compared.sum(axis=1) - above.sum(axis=1), 0)
    return MixtureRanks(weights, score, lowest, highest, best, worst)


def cycles_of_three(beats: Bools, strength: Float64s) -> list[tuple[int, int, int]]:
    """Return the cycles i, j, k in which row `beats` column [n, n] along i -> j -> k -> i, the strongest first.

    i is the smallest of the three. The strength of a cycle is the smallest of its three `strength` [n, n].
    """
    found: list[tuple[float, tuple[int, int, int]]] = []
    for i in range(len(beats)):
        # [n, n] bool: j, k with i -> j, j -> k and k -> i
        closed = beats[i][:, None] & beats & beats[:, i]
        closed[: i + 1], closed[:, : i + 1] = False, False
        for j, k in np.argwhere(closed).tolist():
            found.append((float(min(strength[i, j], strength[j, k], strength[k, i])), (i, j, k)))
    return [cycle for _, cycle in sorted(found, key=lambda item: (-item[0], item[1]))]

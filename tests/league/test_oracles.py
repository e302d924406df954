"""Leagues of perfect learners against a published table, and against the same procedure in plain Python."""

import random
from collections import Counter

import numpy as np
import pytest

from marl_app.envs.circle import circle_scores
from marl_app.league.league import League
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.matchmaker import Branch, Matchmaker
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.meta.nash import Nash
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.oracles import Draws, OracleHistory, best_response, play_league, play_pair, strength
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps

SEED, SIZE, ROUNDS, LEARNERS, OPPONENTS, POOL = 7, 30, 60, 5, 12, 150
SCORES = circle_scores(SIZE)


def played(matchmaker: Matchmaker) -> tuple[list[int], OracleHistory, League]:
    """The pair and then, with the same random numbers, the league, with the uniform and the Nash meta-strategy."""
    draws = Draws(SEED)
    pair = play_pair(SCORES, ROUNDS, draws)
    learners = [Learner(f"main_{number}") for number in range(LEARNERS)]
    league = League(learners, matchmaker, EverySteps(1), Payoff(1e-9), POOL)
    meta = {"uniform": UniformMixture(), "nash": Nash()}
    return pair, play_league(SCORES, league, meta, ROUNDS, OPPONENTS, draws), league


@pytest.fixture(scope="module")
def tutorial() -> tuple[list[int], OracleHistory, League]:
    """As in the tutorial on this game: each learner responds to a uniform sample of the pool."""
    return played(Uniform())


def test_the_published_table(tutorial: tuple[list[int], OracleHistory, League]) -> None:
    """The numbers that the tutorial prints (Python 3.11's `random`, seed 7), to three decimals."""
    pair, history, _ = tutorial
    assert [1 - SCORES[:, agent].max() for agent in pair] == [0.0] * ROUNDS  # every pure strategy is beaten
    league = history.strength["uniform"]
    published = {1: 0.150, 5: 0.233, 15: 0.338, 30: 0.437, 45: 0.340, 60: 0.280}
    assert {number: round(league[number - 1], 3) for number in published} == published
    assert round(float(np.mean(league[-15:])), 3) == 0.292


def in_plain_python() -> tuple[list[int], list[float], list[int]]:
    """The tutorial's procedure without a league: the pair's strategies, strength and distinct strategies per round."""
    rng = random.Random(SEED)

    def score(a: int, b: int) -> float:
        ahead = (b - a) % SIZE
        return 1.0 if 1 <= ahead <= SIZE // 2 - 1 else 0.5 if ahead in (0, SIZE // 2) else 0.0

    def response(opponents: list[int]) -> int:
        counts = Counter(opponents)
        totals = [sum(count * score(a, b) for b, count in counts.items()) for a in range(SIZE)]
        return totals.index(max(totals))  # the lowest of equal ones

    agent, opponent, agents = rng.randrange(SIZE), rng.randrange(SIZE), []
    for _ in range(ROUNDS):
        agent = response([opponent])
        opponent = response([agent])
        agents.append(agent)
    pool = [rng.randrange(SIZE) for _ in range(LEARNERS)]
    strengths, distinct = [], []
    for _ in range(ROUNDS):
        pool += [response(rng.sample(pool, min(OPPONENTS, len(pool)))) for _ in range(LEARNERS)]
        pool = pool[-POOL:]
        counts = Counter(pool)
        best = max(sum(count * score(a, b) for b, count in counts.items()) for a in range(SIZE))
        strengths.append(1 - best / len(pool))
        distinct.append(len(counts))
    return agents, strengths, distinct


def test_every_round_equals_plain_python(tutorial: tuple[list[int], OracleHistory, League]) -> None:
    pair, history, _ = tutorial
    agents, strengths, distinct = in_plain_python()
    assert pair == agents
    assert history.strength["uniform"] == pytest.approx(strengths, abs=1e-12)
    assert history.distinct == distinct


def test_the_pair_never_repeats_a_strategy(tutorial: tuple[list[int], OracleHistory, League]) -> None:
    pair, _, _ = tutorial
    assert all(now != before for before, now in zip(pair, pair[1:], strict=False))


def test_the_equilibrium_of_the_same_pool_is_not_exploitable(
    tutorial: tuple[list[int], OracleHistory, League],
) -> None:
    """A strategy and its opposite, half each, cannot be exploited: any other strategy beats one and loses to the other.

    Such pairs are in the pool early. The pool has other equilibria, which only a strategy outside of
    the pool beats; in a few rounds one of these is found.
    """
    halves = np.bincount([3, 18], [0.5, 0.5], SIZE)
    assert (SCORES @ halves == 0.5).all() and strength(SCORES, halves) == 0.5
    _, history, league = tutorial
    nash, uniform = np.array(history.strength["nash"]), np.array(history.strength["uniform"])
    safe = np.abs(nash - 0.5) < 1e-6
    assert safe[:5].any() and safe[-15:].all() and safe.sum() >= 0.9 * ROUNDS
    assert (nash < 0.5 + 1e-9).all() and (uniform < 0.49).all()
    mixture = league.view.mixture(Nash())
    assert (league.payoff.matrix([snapshot.player.id for snapshot in league.snapshots]) @ mixture).max() < 0.5 + 1e-6


@pytest.mark.parametrize("matchmaker", [Uniform(), Latest()], ids=["uniform", "latest"])
def test_the_payoff_of_the_pool_is_that_of_its_strategies(matchmaker: Matchmaker) -> None:
    """All current players have counts, and snapshots inherit the results: the empirical game equals the true game."""
    learners = [Learner(f"main_{number}") for number in range(LEARNERS)]
    for rounds in (1, 2, 8):
        league = League(learners, matchmaker, EverySteps(1), Payoff(1e-9), 23)
        play_league(SCORES, league, {"uniform": UniformMixture()}, rounds, OPPONENTS, Draws(SEED))
        strategies = [int(snapshot.digest) for snapshot in league.snapshots]
        assert len(strategies) == min(23, LEARNERS * (rounds + 1))
        matrix = league.payoff.matrix([snapshot.player.id for snapshot in league.snapshots])
        assert matrix == pytest.approx(SCORES[np.ix_(strategies, strategies)], abs=1e-6)


def test_a_league_of_self_play_equals_several_pairs() -> None:
    """No learner meets the pool, and all end in the cycle of three strategies that the lowest best responses form.

    From 0 it goes to 16 (the first that beats 0), to 2, and back to 0, which beats 2.
    """
    walk = [0]
    for _ in range(3):
        walk.append(int(SCORES[:, walk[-1]].argmax()))
    assert walk == [0, 16, 2, 0]
    pair, history, league = played(Latest())
    assert history.distinct[-1] <= 3
    assert {int(snapshot.digest) for snapshot in league.snapshots} <= set(walk)
    assert set(pair[3:]) <= set(walk)
    assert max(history.strength["uniform"][-15:]) < 0.4


def test_draws_by_hand() -> None:
    """Equal probabilities: the tutorial's `random.sample`; otherwise draws by the probabilities."""

    def branch(probability: float, probabilities: dict[str, float]) -> Branch:
        return Branch(
            "rule",
            probability,
            tuple(probabilities),
            np.full(len(probabilities), 0.5),
            np.array([*probabilities.values()]),
        )

    even = branch(1.0, {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25})
    assert Draws(3).opponents([even], 3) == random.Random(3).sample(["a", "b", "c", "d"], 3)
    assert sorted(Draws(3).opponents([even], 9)) == ["a", "b", "c", "d"]  # each at most once
    mix = [branch(0.8, {"me": 1.0}), branch(0.2, {"a": 0.75, "b": 0.25})]
    drawn = Counter(Draws(3).opponents(mix, 10_000))
    # 0.8, 0.15 and 0.05; five standard errors of the first among 10,000 are 0.02.
    assert [drawn[player] / 10_000 for player in ("me", "a", "b")] == pytest.approx([0.8, 0.15, 0.05], abs=0.02)


def test_best_response_and_strength_in_rock_paper_scissors() -> None:
    scores = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    assert [best_response(scores, np.eye(3)[opponent]) for opponent in range(3)] == [1, 2, 0]
    assert best_response(scores, np.ones(3)) == 0  # all are equal: the first
    assert best_response(scores, np.array([2, 1, 0])) == 1  # paper: a win against rock twice, a draw: 2.5 of 3
    assert strength(scores, np.array([2, 1, 0]) / 3) == pytest.approx(0.5 / 3)
    assert strength(scores, np.full(3, 1 / 3)) == pytest.approx(0.5)

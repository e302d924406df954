"""Synthetic players: what they win, and where they go, in cases that can be worked out."""

import cmath
import math

import numpy as np
import pytest

from marl_app.simulation.disc import Disc, DiscState

DISC = Disc(elo_per_doubling=100, doubling_agent_steps=1000, cycle_elo=400, sharpness=4, memory_matches=1000)
SAFE = DiscState(0, 0j, 0j)


def at(degrees: float, agent_steps: float = 0) -> DiscState:
    """Somebody at the rim."""
    place = cmath.rect(1, math.radians(degrees))
    return DiscState(agent_steps, place, place)


def elo(one: DiscState, other: DiscState) -> float:
    return float(DISC.log_odds(one, [other])[0]) * 400 / math.log(10)


def trained(spot: DiscState, opponents: list[DiscState], rounds: int, disc: Disc = DISC) -> DiscState:
    """After so many rounds of 10 matches with each of the opponents; with none of them, of 10 with itself."""
    for _ in range(rounds):
        met = opponents or [spot]
        spot = disc.train(spot, 0, met, np.full(len(met), 10))
    return spot


def test_what_is_won() -> None:
    assert elo(at(90), at(0)) == pytest.approx(400)  # a quarter turn ahead, both at the rim
    assert elo(at(0), at(90)) == pytest.approx(-400)
    assert elo(at(30), at(0)) == pytest.approx(200)  # the sine of 30 degrees is a half
    assert elo(at(180), at(0)) == pytest.approx(0)
    assert elo(SAFE, at(77)) == elo(at(77), SAFE) == 0  # the center beats nobody, and nobody beats it
    assert elo(at(90, 1000), at(0)) == pytest.approx(500)  # one doubling
    assert elo(at(90, 7000), at(0, 1000)) == pytest.approx(600)  # from 2 to 8 thousand are two
    assert DISC.log_odds(SAFE, []).shape == (0,)


def test_who_meets_one_opponent_beats_it() -> None:
    after = trained(at(200), [at(0)], 2000)  # 20 memories of matches
    assert after.place == pytest.approx(at(90).place, abs=1e-5)
    assert elo(after, at(0)) == pytest.approx(400) and elo(after, at(180)) == pytest.approx(-400)


def test_who_meets_opponents_of_all_kinds_is_safe() -> None:
    assert abs(trained(at(200), [at(0), at(90), at(180), at(270)], 1000).place) < 1e-3


def test_alone_it_goes_round_and_the_past_beats_it() -> None:
    """The rim is reached, for sharpness is more than 2; a turn takes 2 pi memories, where lag of memory and of movement
    add up to the quarter turn by which the response is ahead, half of it each."""
    path = [trained(at(0), [], 2000)]
    for _ in range(2000):
        path.append(trained(path[-1], [], 1))
    angles = np.unwrap([cmath.phase(spot.place) for spot in path])
    turns = (angles[-1] - angles[0]) / (2 * np.pi)
    assert 20_000 / turns == pytest.approx(2 * np.pi * 1000, rel=0.02)
    assert abs(path[-1].place) == pytest.approx(1 / math.sqrt(2), rel=0.02)
    odds = DISC.log_odds(path[-1], path)
    assert odds.max() == pytest.approx(-odds.min(), rel=0.05) and odds.max() > 1  # beaten and forgotten by turns


def test_who_does_not_specialize_comes_to_rest() -> None:
    tame = Disc(100, 1000, 400, sharpness=1.5, memory_matches=1000)
    assert abs(trained(at(0), [], 4000, tame).place) < 0.01


def test_the_batch_does_not_matter_much() -> None:
    once, often = at(0), at(0)
    once = DISC.train(once, 20, [at(90)], np.array([20]))
    for _ in range(20):
        often = DISC.train(often, 1, [at(90)], np.array([1]))
    assert once.agent_steps == often.agent_steps == 20
    assert once.place == pytest.approx(often.place, abs=0.01)
    assert once.remembered == pytest.approx(often.remembered)


def test_all_begin_at_the_rim() -> None:
    rng = np.random.default_rng(0)
    assert [abs(DISC.start(rng).place) for _ in range(5)] == pytest.approx([1] * 5)

"""Synthetic players: win probabilities and training, in cases with known results."""

import cmath
import math

import numpy as np
import pytest

from marl_app.simulation.disc import Disc, DiscState

DISC = Disc(elo_per_doubling=100, doubling_agent_steps=1000, cycle_elo=400, sharpness=4, memory_matches=1000)
CENTER = DiscState(0, 0j, 0j)


def at(degrees: float, agent_steps: float = 0) -> DiscState:
    """Return a player on the rim."""
    position = cmath.rect(1, math.radians(degrees))
    return DiscState(agent_steps, position, position)


def elo(player: DiscState, other: DiscState) -> float:
    return float(DISC.log_odds(player, [other])[0]) * 400 / math.log(10)


def trained(player: DiscState, opponents: list[DiscState], rounds: int, disc: Disc = DISC) -> DiscState:
    """Train for `rounds` rounds of 10 matches against each opponent; without opponents, 10 matches of self-play."""
    for _ in range(rounds):
        met = opponents or [player]
        player = disc.train(player, 0, met, np.full(len(met), 10))
    return player


def test_log_odds() -> None:
    assert elo(at(90), at(0)) == pytest.approx(400)  # a quarter turn ahead, both on the rim
    assert elo(at(0), at(90)) == pytest.approx(-400)
    assert elo(at(30), at(0)) == pytest.approx(200)  # the sine of 30 degrees is a half
    assert elo(at(180), at(0)) == pytest.approx(0)
    assert elo(CENTER, at(77)) == elo(at(77), CENTER) == 0  # the center draws with everyone
    assert elo(at(90, 1000), at(0)) == pytest.approx(500)  # one doubling
    assert elo(at(90, 7000), at(0, 1000)) == pytest.approx(600)  # from 2,000 to 8,000 are two doublings
    assert DISC.log_odds(CENTER, []).shape == (0,)


def test_a_learner_with_one_opponent_specializes_in_it() -> None:
    after = trained(at(200), [at(0)], 2000)  # 20 time constants of the memory
    assert after.position == pytest.approx(at(90).position, abs=1e-5)
    assert elo(after, at(0)) == pytest.approx(400) and elo(after, at(180)) == pytest.approx(-400)


def test_a_learner_with_opponents_of_all_kinds_moves_to_the_center() -> None:
    assert abs(trained(at(200), [at(0), at(90), at(180), at(270)], 1000).position) < 1e-3


def test_pure_self_play_circles_and_loses_to_its_past() -> None:
    """With sharpness > 2 the best response is on the rim. A turn takes 2 pi `memory_matches`: memory and movement each
    lag by an eighth of a turn, together the quarter turn by which the response is ahead."""
    path = [trained(at(0), [], 2000)]
    for _ in range(2000):
        path.append(trained(path[-1], [], 1))
    angles = np.unwrap([cmath.phase(player.position) for player in path])
    turns = (angles[-1] - angles[0]) / (2 * np.pi)
    assert 20_000 / turns == pytest.approx(2 * np.pi * 1000, rel=0.02)
    assert abs(path[-1].position) == pytest.approx(1 / math.sqrt(2), rel=0.02)
    odds = DISC.log_odds(path[-1], path)
    assert (
        odds.max() == pytest.approx(-odds.min(), rel=0.05) and odds.max() > 1
    )  # wins and losses against its past, in turn


def test_with_low_sharpness_self_play_converges_to_the_center() -> None:
    tame = Disc(100, 1000, 400, sharpness=1.5, memory_matches=1000)
    assert abs(trained(at(0), [], 4000, tame).position) < 0.01


def test_the_result_hardly_depends_on_the_batch_size() -> None:
    once, often = at(0), at(0)
    once = DISC.train(once, 20, [at(90)], np.array([20]))
    for _ in range(20):
        often = DISC.train(often, 1, [at(90)], np.array([1]))
    assert once.agent_steps == often.agent_steps == 20
    assert once.position == pytest.approx(often.position, abs=0.01)
    assert once.remembered == pytest.approx(often.remembered)


def test_initial_positions_are_on_the_rim() -> None:
    rng = np.random.default_rng(0)
    assert [abs(DISC.start(rng).position) for _ in range(5)] == pytest.approx([1] * 5)

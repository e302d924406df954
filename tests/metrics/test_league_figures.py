"""Pictures of a league: one size, nothing clipped, and the numbers in their pixels."""

import numpy as np
import pytest

from marl_app.metrics.league_figures import (
    Frozen,
    lineages_picture,
    matchmaking_picture,
    opponents_picture,
    payoff_picture,
    ratings_picture,
)

BLUE, ORANGE = (0x3B, 0x6E, 0xA5), (0xD9, 0x82, 0x2B)


def players(count):
    return [f"main@{number:04d}" for number in range(count)]


def share_of(picture, color):
    return float((picture == color).all(axis=2).mean())


def lineage(count, name="main"):
    return [Frozen(name, 1000 * number, 10.0 * number, number - 1 if number else None) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_pictures_have_one_size_and_a_white_frame_so_that_nothing_is_clipped(count):
    square = np.full((max(count, 1), max(count, 1)), 0.9)  # the learner is always a player
    pictures = [
        payoff_picture(players(len(square)), square, square),
        ratings_picture(players(count), np.linspace(900, 1500, count)),
        matchmaking_picture("main", [*players(count), "main"], np.full(count + 1, 1 / (count + 1)), np.ones(count + 1)),
        opponents_picture(players(count), np.ones((count, 5)), 10),
        lineages_picture(lineage(count)),
    ]
    for picture in pictures:
        assert picture.dtype == np.uint8 and picture.shape == (528, 736, 3)
        frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (frame == 255).all() and (picture != 255).any()


def test_self_play_does_not_hide_improbable_opponents():
    # Bars of equal heights fill the axes, whatever the probability of self-play; labels differ a little in width.
    def bars(probability):
        heights = [probability] * 4 + [1 - 4 * probability]
        return share_of(matchmaking_picture("main", [*players(4), "main"], heights, np.full(5, 0.5)), BLUE)

    assert bars(0.004) == pytest.approx(bars(0.2), rel=0.1) and bars(0.004) > 0.3


def test_a_learner_that_was_reset_to_another_is_joined_by_a_dotted_line():
    main = lineage(3)

    def orange(parent):
        return share_of(lineages_picture([*main, Frozen("exploiter", 4000, 100.0, parent)]), ORANGE)

    assert orange(0) > orange(None) > 0  # a point in both, and a line to main@0000
    own = [*main, Frozen("main", 4000, 100.0, 0)]
    assert share_of(lineages_picture(own), BLUE) > share_of(lineages_picture(main), BLUE)


def test_the_turns_of_other_learners_leave_no_gaps_in_the_opponents_over_time():
    # Every second bin is without matches.
    matches = np.zeros((2, 8), int)
    matches[:, ::2] = [[3], [1]]
    full = np.repeat(matches[:, ::2], 2, axis=1)
    assert np.array_equal(opponents_picture(players(2), matches, 8), opponents_picture(players(2), full, 8))


def test_wrong_lengths_are_an_error():
    with pytest.raises(ValueError, match="3 players need as many values"):
        ratings_picture(players(3), [1.0])
    with pytest.raises(ValueError, match="3 players need as many values"):
        matchmaking_picture("main", players(3), [0.5, 0.5, 0.0], [0.5])

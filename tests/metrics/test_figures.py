"""Pictures: their pixels show the numbers, nothing is clipped at the edge, pyplot is not used."""

import sys

import numpy as np
import pytest
from matplotlib.image import imread

from marl_app.metrics.figures import (
    band_panels_figure,
    curves_figure,
    heat_map,
    payoff_heat_map,
    ratings_figure,
    store_traffic_figure,
    write_png,
)


def players(count: int) -> list[str]:
    return [f"main@{i:04d}" for i in range(count)]


def payoff(count: int, rate: float = 0.9, games: int = 5) -> np.ndarray:
    return payoff_heat_map(players(count), np.full((count, count), rate), np.full((count, count), games))


def share_of(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((picture == color).all(axis=2).mean())


NO_GAMES = (0xA8, 0xA8, 0xA8)


@pytest.mark.parametrize("count", [1, 2, 12, 13, 25, 100])
def test_every_picture_has_a_white_frame_so_that_nothing_is_clipped(count):
    pictures = [
        payoff(count),
        ratings_figure(players(count), np.linspace(900, 1500, count)),
        ratings_figure(players(count), np.linspace(0, 900, count), np.full(count, -4000), np.full(count, 4000)),
        heat_map("title", "iteration", "action", np.full((7, count), 0.1), 1000),
        curves_figure("title", "x", "y", {"one": (range(count), range(count))}),
        curves_figure("title", "x", "y", {name: (range(count), range(count)) for name in players(min(count, 9))}),
    ]
    for picture in pictures:
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert max(picture.shape[:2]) <= 1200
        frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (frame == 255).all()
        assert (picture != 255).any()


def test_colors_diverge_from_white_at_a_half():
    def color(rate: float) -> np.ndarray:
        """Return the color at a third of the height and width of 25 x 25 equal cells, which show no values."""
        picture = payoff(25, rate)
        return picture[picture.shape[0] // 3, picture.shape[1] // 3].astype(int)

    low, middle, high = color(0.1), color(0.5), color(0.9)
    assert (middle > 240).all()
    assert low[0] - low[2] > 100 and high[2] - high[0] > 100  # red below, blue above


def test_cells_without_games_are_gray_even_if_they_have_a_rate():
    assert share_of(payoff(25, games=0), NO_GAMES) > 0.5
    assert share_of(payoff(25, games=1), NO_GAMES) < 0.01


def test_small_payoffs_show_their_values():
    def dark(count: int) -> float:
        """Return the share of nearly black pixels, which are text, because all cells are white at 0.5."""
        return float((payoff(count, 0.5).max(axis=2) < 60).mean())

    assert dark(12) > 2 * dark(13)  # 144 values against none, and one label less


def test_drawing_has_no_global_effects():
    assert np.array_equal(payoff(3), payoff(3))
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_wrong_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"3 players need \[3, 3\]"):
        payoff_heat_map(players(3), np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="3 players need as many values"):
        ratings_figure(players(3), [1.0])


def test_a_plan_has_a_line_per_design_and_a_white_frame():
    # The last design sends nothing, as in pure self-play: it has no line and no limit.
    designs = {"a": 2e9, "b": 3e9, "c": 3e9, "d": 0.0}
    picture = store_traffic_figure(4000, designs, 12.5e9, 6944)
    frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (frame == 255).all()
    for color in ((0x3B, 0x6E, 0xA5), (0xD9, 0x82, 0x2B), (0x4D, 0x9A, 0x5B)):
        assert share_of(picture, color) > 0.0002


BLUE, ORANGE = (0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)  # matplotlib's first two colors


def near(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    """Return the share of pixels of about this color; curves are slightly transparent."""
    return float((np.abs(picture.astype(int) - color).max(axis=2) < 50).mean())


def test_every_curve_has_a_color_and_points_are_not_joined():
    zigzag = (range(30), [0, 1] * 15)
    single = curves_figure("title", "x", "y", {"a": zigzag})
    assert near(single, BLUE) > 0.01 and near(single, ORANGE) == 0
    both = curves_figure("title", "x", "y", {"a": zigzag, "b": (range(30), np.linspace(0, 1, 30))})
    assert near(both, BLUE) > 0.005 and near(both, ORANGE) > 0.002
    points = curves_figure("title", "x", "y", {"a": zigzag}, joined=False)
    assert 0 < near(points, BLUE) < near(single, BLUE) / 2


def test_a_curve_has_the_same_color_in_all_panels():
    x, y = range(1, 30), np.linspace(1, 0.01, 29)
    curve = (x, y, y / 2, 2 * y)
    picture = band_panels_figure("x", {"left": {"a": curve, "b": curve}, "right": {"b": curve}}, 2, ("level", 0.5))
    left, right = np.split(picture[:, : picture.shape[1] // 2 * 2], 2, axis=1)
    first, second = (0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)  # matplotlib's first two colors
    assert near(left, second) > 0 and near(right, second) > 0
    # The right panel has no curve `a`; the legend, in the last fifth of the picture, has both.
    assert near(right[:, : right.shape[1] * 3 // 5], first) == 0 and near(right, first) > 0
    frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (frame == 255).all()


def test_an_empty_curve_gives_an_empty_plot():
    assert (curves_figure("title", "x", "y", {"a": ([], [])}) < 100).any()


def test_a_heat_map_has_its_first_row_at_the_bottom():
    values = np.zeros((2, 4))
    values[0, 0] = 1.0  # yellow; zero is dark violet
    picture = heat_map("title", "iteration", "action", values).astype(int)
    yellow = (picture[..., 0] > 240) & (picture[..., 1] > 220) & (picture[..., 2] < 60)
    yellow[:, yellow.shape[1] * 3 // 4 :] = False  # the color bar
    rows, columns = yellow.nonzero()
    assert 0.05 < yellow.mean() < 0.125  # an eighth of the axes, which fill most of the picture
    assert rows.min() > picture.shape[0] * 0.4 and columns.max() < picture.shape[1] * 0.4
    shifted = heat_map("title", "iteration", "action", values, 1000)
    assert (shifted != picture).any() and shifted.dtype == np.uint8


def test_a_png_is_read_back_unchanged(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    write_png(tmp_path / "new" / "picture.png", pixels)
    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")
    read = np.round(imread(tmp_path / "new" / "picture.png")[..., :3] * 255).astype(np.uint8)
    assert np.array_equal(read, pixels)


def test_a_png_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "picture.png"
    write_png(path, np.zeros((2, 2, 3), np.uint8))
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_png(path, np.zeros((2, 2, 7), np.uint8))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1

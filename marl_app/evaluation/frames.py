"""Pictures of matches: boards, texts and the environments' own pictures as frames of one size, films and strips.

Needs Pillow, and of Matplotlib only its monospace font.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from marl_app.durable import replacing
from marl_app.envs.board import NO_PIECE, Board, Rendering, symbol

Pixels = NDArray[np.uint8]
"""A picture, uint8 [height, width, 3]."""

COLORS = ("#d1495b", "#edae49", "#2e86ab", "#66a182", "#8d5a97", "#5f6b73")
"""Of the pieces of agents 0, 1, ..., again from the first for more; the page to play has the same."""
_BOARD, _EMPTY, _NEW, _INK, _PAPER = "#22577a", "#f4f6f8", "#111111", "#1c2126", "#ffffff"
_SCALE = 4  # boards are drawn larger, and reduced, so that edges are smooth


def picture(rendering: Rendering, size: int = 480, before: Rendering | None = None) -> Pixels:
    """Return a rendering as pixels, at most `size` high and wide; `before`: the last one, to mark new pieces."""
    if isinstance(rendering, Board):
        return np.asarray(_draw_board(rendering, size, before if isinstance(before, Board) else None))
    if isinstance(rendering, str):
        return np.asarray(_draw_text(rendering, size))
    # `thumbnail` keeps the proportions, and does not enlarge.
    image = Image.fromarray(rendering)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def titled(pixels: Pixels, title: str) -> Pixels:
    """Return the picture below lines of text."""
    font = _font(13)
    lines = title.splitlines()
    width = max(pixels.shape[1], *(int(font.getlength(line)) + 16 for line in lines))
    bar = Image.new("RGB", (width, 19 * len(lines) + 8), _PAPER)
    ImageDraw.Draw(bar).multiline_text((8, 4), title, _INK, font, spacing=5)
    # The picture in the middle of the width, which the title may exceed.
    below = np.full((pixels.shape[0], width, 3), 255, np.uint8)
    left = (width - pixels.shape[1]) // 2
    below[:, left : left + pixels.shape[1]] = pixels
    return np.concatenate([np.asarray(bar), below])


def same_size(frames: Sequence[Pixels]) -> list[Pixels]:
    """Return the frames in the size of the largest one, with even height and width as films need them."""
    height, width = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    padded = []
    for frame in frames:
        whole = np.full((height + height % 2, width + width % 2, 3), 255, np.uint8)
        whole[: frame.shape[0], : frame.shape[1]] = frame
        padded.append(whole)
    return padded


def strip(frames: Sequence[Pixels], columns: int = 4) -> Pixels:
    """Return frames in rows of `columns`, in one picture."""
    padded = same_size(frames)
    # White pictures fill the last row.
    padded += [np.full_like(padded[0], 255)] * (-len(padded) % min(columns, len(padded)))
    width = min(columns, len(frames))
    rows = [np.concatenate(padded[start : start + width], axis=1) for start in range(0, len(padded), width)]
    return np.concatenate(rows)


def write_gif(path: Path, frames: Sequence[Pixels], fps: float, last_s: float = 2.0) -> None:
    """Write a film as a GIF that repeats, atomically; its last frame stays for `last_s`."""
    images = [Image.fromarray(frame).quantize(128) for frame in same_size(frames)]
    # Milliseconds; the last frame stays longer.
    durations = [1000 / fps] * (len(images) - 1) + [max(1000 / fps, 1000 * last_s)]
    with replacing(path) as temporary:
        images[0].save(
            temporary, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True
        )


def write_mp4(path: Path, frames: Sequence[Pixels], fps: float) -> None:
    """Write a film as an MP4 with the program ffmpeg. Raises RuntimeError, with its words, if it fails."""
    padded = same_size(frames)
    height, width = padded[0].shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    with replacing(path) as temporary:
        command = ["ffmpeg", "-y", "-loglevel", "error", *raw, "-pix_fmt", "yuv420p", "-f", "mp4", str(temporary)]
        # Raw pixels of all frames, which ffmpeg reads from standard input.
        film = b"".join(frame.tobytes() for frame in padded)
        done = subprocess.run(command, input=film, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")


def _draw_board(board: Board, size: int, before: Board | None) -> Image.Image:
    rows, columns = board.pieces.shape
    # Room for labels, a sixteenth of the picture each.
    above = size // 16 if board.column_labels else 0
    left_margin = size // 16 if board.row_labels else 0
    big = min((size - above) // rows, (size - left_margin) // columns) * _SCALE  # a cell
    above, left_margin = above * _SCALE, left_margin * _SCALE
    image = Image.new("RGB", (big * columns + left_margin, big * rows + above), _PAPER)
    draw = ImageDraw.Draw(image)
    font = _font(max(8, big // 3))
    for row in range(rows):
        for column in range(columns):
            left, top = left_margin + column * big, above + row * big
            draw.rectangle((left, top, left + big - _SCALE, top + big - _SCALE), _BOARD)
            owner = int(board.pieces[row, column])
            # A piece is new if this cell had another owner before.
            is_new = (
                before is not None
                and before.pieces.shape == board.pieces.shape
                and (owner != NO_PIECE and before.pieces[row, column] != owner)
            )
            inset = big // 9
            disc = (left + inset, top + inset, left + big - inset - _SCALE, top + big - inset - _SCALE)
            color = _EMPTY if owner == NO_PIECE else COLORS[owner % len(COLORS)]
            draw.ellipse(disc, color, _NEW if is_new else None, big // 20)
            if owner != NO_PIECE:
                center = (left + (big - _SCALE) / 2, top + (big - _SCALE) / 2)
                draw.text(center, symbol(owner), _INK, font, anchor="mm")
    labels = _font(max(8, max(above, left_margin) // 2))
    for column, text in enumerate(board.column_labels):
        draw.text((left_margin + column * big + big / 2, above / 2), text, _INK, labels, anchor="mm")
    for row, text in enumerate(board.row_labels):
        draw.text((left_margin / 2, above + row * big + big / 2), text, _INK, labels, anchor="mm")
    return image.reduce(_SCALE)


def _draw_text(text: str, size: int) -> Image.Image:
    lines = text.splitlines() or [""]
    # A character of this font is 0.602 wide and a line 1.3 high, in units of its size.
    fitting = min(size / (0.602 * max(20, *map(len, lines)) + 1.2), size / (1.3 * len(lines) + 1.2))
    points = int(min(18, max(8, fitting)))
    font = _font(points)
    width = int(max(font.getlength(line) for line in lines)) + points
    image = Image.new("RGB", (max(width, size // 2), int(1.3 * points * len(lines)) + points), _PAPER)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((points / 2, points / 2 + 1.3 * points * number), line, _INK, font)
    return image


@cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSansMono.ttf"), points)

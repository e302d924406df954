"""A session in the terminal: what is printed for what is typed."""

import io

import numpy as np
import pytest
from rich.console import Console

from marl_app.playing.terminal import HELP, Terminal, advice_text, blocks
from tests.playing.runs import session, tic_tac_toe_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tic_tac_toe_run(tmp_path_factory.mktemp("runs") / "run")


def play(playing, lines, capsys, end=EOFError):
    """Type lines, then the end (Ctrl-D or Ctrl-C); return what was printed for each line."""
    printed, typed = [], iter(lines)

    def read(prompt):
        assert prompt == "> "
        printed.append(capsys.readouterr().out)
        try:
            return next(typed)
        except StopIteration:
            raise end from None

    Terminal(playing, Console(file=io.StringIO()), read).run()
    return printed


def test_a_match(run, capsys):
    first, second, third, won, back = play(session(run), ["b1", "b2", "b3", "u"], capsys)
    assert first == (
        "match 1: you play player_1 (X); main plays player_2 (O) (h: help)\n"
        "  a b c\n1 . . .\n2 . . .\n3 . . .\n"
        "your move as player_1: a1  a2  a3  b1  b2  b3  c1  c2  c3\n"
    )
    assert second == (
        "player_1: b1\nplayer_2 (main): a1\n"
        "  a b c\n1 O X .\n2 . . .\n3 . . .\n"
        "your move as player_1: a2  a3  b2  b3  c1  c2  c3\n"
    )
    assert third.startswith("player_1: b2\nplayer_2 (main): a2\n")
    assert won == (
        "player_1: b3\n  a b c\n1 O X .\n2 O X .\n3 . X .\n"
        "You won. Returns: player_1 +1, player_2 -1\nn: new match   u: take back   q: quit\n"
    )
    assert back.startswith("taken back\n  a b c\n1 O X .\n2 O X .\n3 . . .\nyour move as player_1: a3")


def test_commands(run, capsys):
    lines = ["?", "h", "p", "p main@0000", "s player_2", "n", "", "x9", "p nobody", "s 7", "u", "q", "unread"]
    out = play(session(run), lines, capsys)
    assert len(out) == 12  # q ends
    assert "in your place as player_1 the agent would play:\n  a1   63.2%  ###################\n" in out[1]
    assert out[1].endswith("its value of your position: +0.250\n")
    assert out[2] == HELP.format(sides="player_1, player_2") + "\n"
    assert out[3] == "players: main, main@0000, random, mcts_10\n"
    assert out[4].startswith("match 2: you play player_1 (X); main@0000 plays player_2 (O)")
    assert out[5].startswith("match 3: you play player_2 (O); main@0000 plays player_1 (X)")
    assert "player_1 (main@0000): c3\n" in out[5] and out[6].startswith("match 4: you play player_2 (O)")
    assert out[7] == ""
    assert out[8].startswith("'x9' is not a legal move: give one of a1") and out[8].endswith("(h: help)\n")
    assert "has no player" in out[9] or "unknown" in out[9]
    assert out[10] == "there is no side '7': give a number from 0 to 1, or one of player_1, player_2 (h: help)\n"
    assert out[11] == "there is no move to take back (h: help)\n"


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_ctrl_d_and_ctrl_c_end(run, capsys, end):
    assert len(play(session(run), ["a1"], capsys, end)) == 2
    assert capsys.readouterr().out == "\n"


def test_a_bot_without_probabilities_names_its_move(run, capsys):
    out = play(session(run, player="mcts_10"), ["?"], capsys)[1]
    _, move, value = out.splitlines()
    assert move.strip() in session(run).legal() and value == "it has no value of what you see"


def test_pictures_as_half_blocks():
    # Upper half red, lower half blue: each character has the upper pixel as its color, the lower as background.
    pixels = np.zeros((8, 4, 3), np.uint8)
    pixels[:4, :, 0] = pixels[4:, :, 2] = 255
    text = blocks(pixels, 4)
    rows = text.plain.splitlines()
    assert rows == ["\u2580" * 4] * 4
    assert {str(span.style) for span in text.spans if span.start < 4} == {"rgb(255,0,0) on rgb(255,0,0)"}
    assert {str(span.style) for span in text.spans if span.start >= 15} == {"rgb(0,0,255) on rgb(0,0,255)"}


def test_no_advice():
    from marl_app.evaluation.match import Advice

    assert advice_text(Advice(None, None, None), "player_0") == "the player gives no advice for player_0"

"""A session in the terminal: the match as text, and a line for each move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from rich.console import Console
from rich.text import Text

from marl_app.envs.board import Board, Rendering
from marl_app.evaluation.match import Advice
from marl_app.playing.session import Session

HELP = """\
a move   its name, or a part of it that no other legal move has
?        what the agent would do in your place, and its value of your position
u        take back your last move
n        new match
s SIDE   new match at another side: {sides}
p NAME   new match against another player; p alone lists them
q        quit, as Ctrl-D does"""
_SHOWN = 40  # players or moves that are listed


class Terminal:
    """Plays a session with lines that `read` returns for a prompt, until q, Ctrl-D or Ctrl-C."""

    def __init__(self, session: Session, console: Console, read: Callable[[str], str] = input) -> None:
        self._session, self._console, self._read = session, console, read
        self._told = 0  # moves of this match that were printed
        self._told_about_pictures = False

    def run(self) -> None:
        """Play until the person leaves."""
        self._begin()
        while True:
            try:
                line = self._read("> ").strip()
            except (EOFError, KeyboardInterrupt):
                self._say("")
                return
            if line in ("q", "quit", "exit"):
                return
            try:
                self._do(line)
            except ValueError as error:
                self._say(f"{error} (h: help)")

    def _do(self, line: str) -> None:
        """Carry out one line. Raises ValueError for one that cannot be."""
        command, _, rest = line.partition(" ")
        rest = rest.strip()
        session = self._session
        if line == "?":
            # Advice is for the agent that the person decides for now.
            self._say(advice_text(session.advice(), session.env.agents[session.waiting or 0]))
        elif line in ("h", "help"):
            self._say(HELP.format(sides=", ".join(session.sides)))
        elif line == "u":
            session.undo()
            self._say("taken back")
            # The moves that are left have been printed before.
            self._told = len(session.match.moves)
            self._show()
        elif line == "n":
            session.new_match()
            self._begin()
        elif line == "p":
            names = session.players
            self._say("players: " + ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else ""))
        # A move that has the form of a command, such as "s 1", is a move.
        elif command in ("s", "p") and rest and not self._is_move(line):
            session.new_match(*((None, rest) if command == "s" else (rest, None)))
            self._begin()
        elif line:
            session.move(line)
            self._show()

    def _is_move(self, line: str) -> bool:
        return line in (self._session.legal() or ())

    def _begin(self) -> None:
        self._told = 0
        self._say(f"match {self._session.number + 1}: {self._session.seat_words()} (h: help)")
        self._show()

    def _show(self) -> None:
        """Print the moves since the last time, the match, and what is asked for."""
        session = self._session
        moves = session.match.moves
        for move in moves[self._told :]:
            name = session.names[session.env.agents.index(move.agent)]
            who = move.agent if name == "you" else f"{move.agent} ({name})"
            self._say(f"{who}: {move.name or 'a move that you do not see'}")
        self._told = len(moves)
        self._draw(session.match.rendering())
        result = session.result()
        if result is not None:
            self._say(f"{result}\nn: new match   u: take back   q: quit")
            return
        assert session.waiting is not None
        legal = session.legal()
        whose = f"your move as {session.env.agents[session.waiting]}"
        if legal is None:
            self._say(f"{whose}: {session.describe_numbers()}")
        else:
            self._say(f"{whose}: " + "  ".join(legal[:_SHOWN]) + ("  ..." if len(legal) > _SHOWN else ""))

    def _draw(self, view: Rendering) -> None:
        if isinstance(view, Board):
            self._say(view.text())
        elif isinstance(view, str):
            self._say(view)
        # Half blocks need a terminal with at least 256 colors.
        elif self._console.is_terminal and self._console.color_system not in (None, "standard"):
            self._console.print(blocks(view, min(72, self._console.width)))
            self._tell_about_pictures()
        else:
            self._tell_about_pictures()

    def _tell_about_pictures(self) -> None:
        if not self._told_about_pictures:
            self._say("(this environment draws pictures: task.ui=web shows them in full)")
        self._told_about_pictures = True

    def _say(self, text: str) -> None:
        print(text, flush=True)


def advice_text(advice: Advice, agent: str) -> str:
    """Return advice as lines: the likely actions with their probabilities, and the value."""
    lines = []
    if advice.probabilities is not None:
        likely = list(advice.probabilities.items())[:12]
        width = max(len(name) for name, _ in likely)
        lines += [f"  {name.ljust(width)}  {share:6.1%}  {'#' * round(30 * share)}".rstrip() for name, share in likely]
    elif advice.action is not None:
        lines.append(f"  {advice.action}")
    if not lines:
        return f"the player gives no advice for {agent}"
    # A critic of the global state has no value of one agent's observation.
    value = (
        "it has no value of what you see"
        if advice.value is None
        else f"its value of your position: {advice.value:+.3f}"
    )
    return "\n".join([f"in your place as {agent} the agent would play:", *lines, value])


def blocks(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], columns: int) -> Text:
    """Return a picture as colored half blocks, two pixels above one another in each character."""
    height, width = pixels.shape[:2]
    # A character is about twice as high as wide, so it shows two square pixels.
    rows = max(1, round(columns * height / width / 2))
    small = np.asarray(Image.fromarray(pixels).resize((columns, 2 * rows), Image.Resampling.BOX))
    text = Text()
    for row in range(rows):
        for upper, lower in zip(small[2 * row].tolist(), small[2 * row + 1].tolist(), strict=True):
            colors = [f"rgb({r},{g},{b})" for r, g, b in (upper, lower)]
            # The upper half block in the color of the upper pixel, on a background in that of the lower one.
            text.append("\u2580", f"{colors[0]} on {colors[1]}")
        text.append("\n")
    text.rstrip()
    return text

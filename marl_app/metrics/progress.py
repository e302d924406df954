"""The progress line: a redrawn line in a terminal, a plain line every few seconds in a file or a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.live import Live
from rich.text import Text

# (metric, text before it, text after it, decimals (None: as 45.2k), style of rich), the most important first: a narrow
# terminal leaves out the last ones.
_Shown = tuple[tuple[str, str, str, int | None, str], ...]
_LEAGUE: _Shown = (
    ("league/win_rate/pool", "win ", "", 2, "bold"),
    ("league/elo", "Elo ", "", 0, "bold"),
)
_TEAM: _Shown = (("matches/return", "return ", "", 2, "bold"),)
_POOL: _Shown = (("league/pool_size", "pool ", "", 0, ""),)
_SPEED: _Shown = (
    ("throughput/env_steps_per_s", "", " env steps/s", None, ""),
    ("throughput/trained_agent_steps_per_s", "", " agent steps/s", None, ""),
    ("learner/policy_loss", "policy ", "", 3, "dim"),
    ("learner/vf_loss", "value ", "", 3, "dim"),
    ("learner/entropy", "entropy ", "", 2, "dim"),
)
_SEPARATOR = " | "
WARNING, FAILURE = "bold yellow", "bold red"


class ProgressLine:
    """The progress of a run on `console` (standard output if None).

    In a terminal one line with a bar is redrawn at every `update`, and messages appear above it, warnings in color.
    Elsewhere a plain line without control characters is printed for the first update, then at most every
    `plain_every_s` seconds, and at `close`.

    team: a cooperative run, which has a return instead of win rate, Elo and pool.
    """

    def __init__(
        self,
        console: Console | None = None,
        plain_every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        team: bool = False,
    ) -> None:
        self._console = console or Console(highlight=False)
        self._plain_every_s = plain_every_s
        self._clock = clock
        self._first, self._last = (_TEAM, _SPEED) if team else (_LEAGUE, (*_POOL, *_SPEED))
        self._strength: dict[str, float] = {}  # the newest values: an iteration may lack one, if no match ended in it
        self._line = ""
        self._printed = ("", -math.inf)  # the last plain line, and the time of `clock` at which it was printed
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()

    def update(
        self,
        values: Mapping[str, float],
        done: float | None = None,
        elapsed_s: float | None = None,
        evaluation: tuple[str, float] | None = None,
    ) -> None:
        """Show the newest metrics, by their keys in `names.py`; missing ones are left out. Win rate, Elo
        and return stay as they were.

        `done`: the finished share of the run in [0, 1], by the stop limit that is reached first; None without a limit.
        `elapsed_s`: the seconds that this share took, for an estimate of the time left.
        `evaluation`: the opponent and the score of the latest evaluation.
        """
        # 1. The parts, the most important first.
        parts = _shown(values, (("iteration", "iter ", "", 0, ""),))
        if done is not None:
            left = f", {_duration(elapsed_s * (1 - done) / done)} left" if elapsed_s and done > 0 else ""
            parts.append(Text(f"{math.floor(100 * min(done, 1)):d} %{left}"))
        self._strength |= {key: values[key] for key, *_ in self._first if key in values}
        parts += _shown(self._strength, self._first)
        if evaluation is not None:
            parts.append(Text(f"{evaluation[0]} {_number(evaluation[1], 2)}", "bold"))
        alarms = [key.partition("/")[2] for key, value in values.items() if key.startswith("alarms/") and value]
        if alarms:
            parts.append(Text(f"{len(alarms)} alarms" if len(alarms) > 1 else f"alarm: {alarms[0]}", WARNING))
        parts += _shown(values, self._last)
        # 2. A terminal is redrawn; elsewhere a line is printed if the last one is old enough.
        self._line = _SEPARATOR.join(part.plain for part in parts)
        if self._live is not None:
            bar = _bar(done, self._console.width)
            self._live.update(_fitting(bar, parts, self._console.width), refresh=True)
        elif self._clock() - self._printed[1] >= self._plain_every_s:
            self._print_plain()

    def message(self, text: str) -> None:
        """Print a line that stays, above the progress line: a freeze, a checkpoint, an evaluation."""
        if self._live is not None:
            style = WARNING if text.startswith("warning:") else FAILURE if " failed" in text else ""
            self._console.print(Text(text, style))
        else:
            print(text, file=self._console.file, flush=True)

    def close(self) -> None:
        """Leave the newest line on the screen and stop redrawing it. May be called more than once."""
        if self._live is not None:
            self._live.stop()
        elif self._line != self._printed[0]:
            self._print_plain()

    def _print_plain(self) -> None:
        print(self._line, file=self._console.file, flush=True)
        self._printed = (self._line, self._clock())


def _shown(values: Mapping[str, float], keys: _Shown) -> list[Text]:
    """Return a text for each of these metrics that is available."""
    return [
        Text(f"{before}{_number(values[key], digits)}{behind}", style)
        for key, before, behind, digits, style in keys
        if key in values
    ]


def _bar(done: float | None, width: int) -> Text:
    """Return a bar of the finished share; empty without a limit, and where a terminal of `width` has no room for it."""
    # Narrow terminals have no bar, or a short one, so that numbers have room.
    cells = 0 if done is None or width < 80 else 6 if width < 100 else 16
    if done is None or not cells:
        return Text()
    full = math.floor(cells * min(done, 1))
    return Text.assemble(("━" * full, "green"), ("━" * (cells - full), "bright_black"), " ")


def _fitting(bar: Text, parts: list[Text], width: int) -> Text:
    """Return one line of at most `width` cells: the bar, and the first parts as far as they are whole."""
    line = bar.copy()
    for number, part in enumerate(parts):
        added = Text.assemble((_SEPARATOR if number else "", "bright_black"), part)
        if line.cell_len + added.cell_len > width:
            break
        line.append_text(added)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _number(value: float, digits: int | None) -> str:
    """Return the number with this many decimals, or with `digits` None as 950, 45.2k, 1.3M."""
    if not math.isfinite(value):
        return "nan"
    if digits is not None:
        return f"{value:.{digits}f}"
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{letter}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    """Return a duration as 0:42, 12:05 or 3:12:05."""
    minutes, seconds = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

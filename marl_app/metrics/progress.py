"""The progress line: a redrawn line in a terminal, a plain line every few seconds in a file or a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.live import Live
from rich.text import Text

# (metric, text before it, text after it, decimals; None: as 45.2k), in this order. A narrow terminal cuts off the last.
_SHOWN = (
    ("iteration", "iter ", "", 0),
    ("throughput/env_steps_per_s", "", " env steps/s", None),
    ("throughput/trained_agent_steps_per_s", "", " agent steps/s", None),
    ("league/pool_size", "pool ", "", 0),
    ("league/win_rate/pool", "win ", "", 2),
    ("league/elo", "Elo ", "", 0),
    ("learner/policy_loss", "policy ", "", 3),
    ("learner/vf_loss", "value ", "", 3),
    ("learner/entropy", "entropy ", "", 2),
)


class ProgressLine:
    """The progress of a run on `console` (standard output if None).

    In a terminal one line is redrawn at every `update`, and messages appear above it. Elsewhere a plain line without
    control characters is printed for the first update, then at most every `plain_every_s` seconds, and at `close`.
    """

    def __init__(
        self,
        console: Console | None = None,
        plain_every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(highlight=False)
        self._plain_every_s = plain_every_s
        self._clock = clock
        self._line = ""
        self._printed = ("", -math.inf)  # the last plain line, and the time of `clock` at which it was printed
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()

    def update(self, values: Mapping[str, float], done: float | None = None, elapsed_s: float | None = None) -> None:
        """Show the newest metrics, by their keys in `names.py`; missing ones are left out.

        `done`: the finished share of the run in [0, 1], by the stop limit that is reached first; None without a limit.
        `elapsed_s`: the seconds that this share took, for an estimate of the time left.
        """
        # One text per available metric; the finished share and the time left are inserted after the iteration.
        parts = [
            f"{before}{_number(values[key], digits)}{behind}" for key, before, behind, digits in _SHOWN if key in values
        ]
        if done is not None:
            left = f", {_duration(elapsed_s * (1 - done) / done)} left" if elapsed_s and done > 0 else ""
            parts.insert(1, f"{math.floor(100 * min(done, 1)):d} %{left}")
        self._line = " | ".join(parts)
        if self._live is not None:
            self._live.update(Text(self._line, no_wrap=True, overflow="ellipsis"), refresh=True)
        elif self._clock() - self._printed[1] >= self._plain_every_s:
            self._print_plain()

    def message(self, text: str) -> None:
        """Print a line that stays, above the progress line: a freeze, a checkpoint, an evaluation."""
        if self._live is not None:
            self._console.print(Text(text))
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

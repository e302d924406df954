"""The progress line in a terminal and in a file."""

import io
import re

from rich.console import Console

from marl_app.metrics.progress import ProgressLine

VALUES = {
    "iteration": 12,
    "throughput/env_steps_per_s": 45_210.0,
    "throughput/trained_agent_steps_per_s": 950.0,
    "learner/policy_loss": -0.0123,
    "league/pool_size": 7,
    "league/win_rate/pool": 0.634,
    "league/elo": float("nan"),
}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def piped() -> tuple[io.StringIO, Clock, ProgressLine]:
    out, clock = io.StringIO(), Clock()
    return out, clock, ProgressLine(Console(file=out, force_terminal=False), plain_every_s=10, clock=clock)


def test_a_pipe_gets_one_plain_line_per_interval_and_the_last_one():
    out, clock, progress = piped()
    for second in range(25):  # 100..124 s: lines at 100, 110 and 120 s, and 124 s at the end
        clock.now = 100.0 + second
        progress.update(VALUES | {"iteration": second})
    progress.close()
    progress.close()
    lines = out.getvalue().splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["iter 0", "iter 10", "iter 20", "iter 24"]
    assert out.getvalue().replace("\n", "").isprintable()


def test_the_line_shows_metrics_progress_and_time_left():
    out, _, progress = piped()
    progress.update(VALUES, 0.25, 100.0, ("mcts_100", 0.411))  # a quarter took 100 s, so three quarters take 300 s
    assert out.getvalue() == (
        "iter 12 | 25 %, 5:00 left | win 0.63 | Elo nan | mcts_100 0.41 | pool 7"
        " | 45.2k env steps/s | 950 agent steps/s | policy -0.012\n"
    )


def test_without_a_limit_or_progress_no_time_left_is_shown():
    out, clock, progress = piped()
    progress.update({"iteration": 1})
    clock.now += 10
    progress.update({"iteration": 2}, done=0.0, elapsed_s=3.0)
    assert out.getvalue().splitlines() == ["iter 1", "iter 2 | 0 %"]


def test_messages_are_separate_lines():
    out, _, progress = piped()
    progress.message("froze main@0001 [0.7]")
    progress.close()
    assert out.getvalue() == "froze main@0001 [0.7]\n"  # nothing was updated, so there is no progress line


def test_a_terminal_gets_one_redrawn_line_with_messages_above_it():
    out = io.StringIO()
    progress = ProgressLine(
        Console(file=out, force_terminal=True, width=60, legacy_windows=False, _environ={"TERM": "xterm"})
    )
    progress.update(VALUES)
    progress.message("checkpoint [12] written")
    progress.update(VALUES | {"iteration": 13})
    progress.close()
    text = out.getvalue()
    assert "\x1b[2K" in text  # the line is erased and drawn again
    assert text.index("iter 12") < text.index("checkpoint [12] written") < text.rindex("iter 13")
    assert text.endswith("\x1b[?25h")  # the cursor is shown again
    last = text[text.rindex("iter 13") :].split("\n")[0]
    assert plain(last).rstrip() == "iter 13 | win 0.63 | Elo nan | pool 7 | 45.2k env steps/s"  # what fits, whole


def plain(text: str) -> str:
    """The text without control sequences of a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def on_a_terminal(width: int) -> tuple[io.StringIO, ProgressLine]:
    out = io.StringIO()
    environment = {"TERM": "xterm-256color"}
    console = Console(file=out, force_terminal=True, width=width, legacy_windows=False, _environ=environment)
    return out, ProgressLine(console)


def test_with_80_columns_strength_and_time_left_are_whole():
    out, progress = on_a_terminal(80)
    long = {"iteration": 12345, "league/win_rate/pool": 0.5, "league/elo": -1234.0, "league/pool_size": 1000}
    progress.update(VALUES | long, 0.5, 12 * 3600.0, ("mcts_1000", 0.5))
    progress.close()
    line = "━━━━━━ iter 12345 | 50 %, 12:00:00 left | win 0.50 | Elo -1234 | mcts_1000 0.50"
    assert plain(out.getvalue()).strip() == 2 * line  # drawn by the update, and once more at the end
    assert "\x1b[32m━━━\x1b[0m" in out.getvalue()  # the half that is done, in green


def test_warnings_and_alarms_stand_out_on_a_terminal():
    out, progress = on_a_terminal(100)
    progress.message("froze main@0001")
    progress.message("warning: the learner forgets")
    progress.update(VALUES | {"alarms/forgetting": 1.0, "alarms/cyclic": 0.0})
    progress.close()
    assert "froze main@0001\n" in out.getvalue()
    assert "\x1b[1;33mwarning: the learner forgets\x1b[0m" in out.getvalue()
    assert "\x1b[1;33malarm: forgetting\x1b[0m" in out.getvalue()


def test_a_team_has_a_return_instead_of_elo_and_pool():
    out = io.StringIO()
    progress = ProgressLine(Console(file=out, force_terminal=False), team=True)
    progress.update(VALUES | {"matches/return": -21.456}, evaluation=("evaluated", -19.2))
    assert out.getvalue().startswith("iter 12 | return -21.46 | evaluated -19.20 | 45.2k env steps/s | 950")
    progress.update({"iteration": 13})  # no match ended
    progress.close()
    assert out.getvalue().endswith("iter 13 | return -21.46\n")
    assert "Elo" not in out.getvalue() and "pool" not in out.getvalue()

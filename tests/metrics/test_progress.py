"""The progress line in a terminal and in a file."""

import io

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
    progress.update(VALUES, done=0.25, elapsed_s=100.0)  # a quarter took 100 s, so three quarters take 300 s
    assert out.getvalue() == (
        "iter 12 | 25 %, 5:00 left | 45.2k env steps/s | 950 agent steps/s"
        " | pool 7 | win 0.63 | Elo nan | policy -0.012\n"
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
    assert len(last) <= 60 and "…" in last  # cut to the width, never wrapped

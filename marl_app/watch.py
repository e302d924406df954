"""Detects that a run's process was killed: by kill -9, for lack of memory, or by Ray, which ends its driver itself.

A small process waits for the end of the run's process. If no end marker came before, it writes `summary.json` with the
status "killed", and prints how to continue the run. Python code in the run's own process could not do that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

END_MARKER = b"."


@contextmanager
def watched(directory: Path) -> Iterator[None]:
    """Have this process watched until the context ends; then `summary.json` must have been written."""
    # This module, run as another process, which lives on if this one is killed.
    command = [sys.executable, "-m", __name__, str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # In a session of its own, because a signal to the group of the run must not end it.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    assert process.stdin is not None
    try:
        yield
    finally:
        try:
            process.stdin.write(END_MARKER)
            process.stdin.close()
            process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()  # the watcher itself was killed, or hangs: the run goes on
            process.wait()


def main(directory: Path) -> None:
    """Wait for the end of standard input; without an end marker, write the summary and print how to continue."""
    # Standard input ends when the run's process does, whatever ended it. The marker comes last after a regular end.
    if sys.stdin.buffer.read().endswith(END_MARKER):
        return
    from marl_app.config.command import command
    from marl_app.metrics.summary import KEYS, write_summary
    from marl_app.runs.checkpoints import latest_checkpoint

    # All keys of a summary; None for what a killed run has not recorded.
    summary: dict[str, Any] = dict.fromkeys(KEYS)
    checkpoint = latest_checkpoint(directory / "checkpoints")
    measured: dict[str, Any] = {"anchors": {}, "exploitability": {}, "value_preserving_moves": {}}
    summary |= {**measured, "status": "killed", **_progress(directory)}
    summary["checkpoint"] = None if checkpoint is None else str(checkpoint.path)
    write_summary(directory / "summary.json", summary)
    if checkpoint is None:
        how = "it has no checkpoint yet: start it again"
    else:
        how = f"continue at iteration {checkpoint.state.iteration} with {command(resume=directory)}"
    print(f"marl_app: the run's process ended without warning (killed, or Ray died); {how}", file=sys.stderr)


def _progress(directory: Path) -> dict[str, Any]:
    """Return the run's totals from the last whole line of `progress.jsonl`."""
    try:
        lines = (directory / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            values = json.loads(line)
            seconds, env_steps, agent_steps = (
                values[name] for name in ("seconds", "steps/env_steps", "steps/trained_agent_steps")
            )
            return {
                "seconds": seconds,
                "iterations": int(values["iteration"]),
                "env_steps": int(env_steps),
                "trained_agent_steps": int(agent_steps),
                "env_steps_per_s": env_steps / seconds,
                "trained_agent_steps_per_s": agent_steps / seconds,
                "pool_size": int(values["league/pool_size"]),
            }
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut short
    return {}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

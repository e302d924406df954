"""`task=play` from the command line: in a terminal, and as a page."""

import contextlib
import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import urllib.request
from pathlib import Path

import pytest

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.run import run as run_task
from tests.evaluation.runs import write_run
from tests.playing.runs import tic_tac_toe_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tic_tac_toe_run(tmp_path_factory.mktemp("runs") / "my run")


def start(run, out, *overrides, **streams):
    arguments = ["task=play", f"run={run}", "task.greedy=true", f"hydra.run.dir={out}", *overrides]
    return subprocess.Popen([sys.executable, "-m", "marl_app", *arguments], cwd=ROOT, **streams)


class Screen:
    """The other end of a terminal in which a process runs."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self.text = ""

    def wait_for(self, text):
        """Read until the text appears; return what came before it, since the last time."""
        while text not in self.text:
            self.text += os.read(self._descriptor, 4096).decode().replace("\r\n", "\n")
        before, _, self.text = self.text.partition(text)
        return before

    def type(self, keys):
        os.write(self._descriptor, keys.encode())


def test_a_match_in_a_terminal_until_ctrl_c(run, tmp_path):
    ours, theirs = pty.openpty()
    process = start(
        run, tmp_path / "out", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # the terminal then sends SIGINT for Ctrl-C
    )  # fmt: skip
    os.close(theirs)
    screen = Screen(ours)
    try:
        assert "you play player_1 (X); main plays player_2 (O)" in screen.wait_for("> ")
        for move in ("b1", "b2"):
            screen.type(f"{move}\n")
            assert f"player_1: {move}" in screen.wait_for("> ")
        screen.type("b3\n")
        assert "You won." in screen.wait_for("> ")
        # Readline misses a signal between its prompt and its wait for a key: a person types again.
        for _ in range(10):
            screen.type("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert process.wait(6) == 0
                break
        assert process.returncode == 0
        assert not os.read(ours, 4096).decode().replace("^C", "").strip()  # no traceback
    finally:
        process.kill()
        os.close(ours)


def test_the_page_is_served_until_ctrl_c(run, tmp_path):
    process = start(
        run, tmp_path / "out", "task.ui=web", "task.port=0", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("play at http://127.0.0.1:") and line.endswith("(Ctrl-C ends)\n")
        with urllib.request.urlopen(f"{line.split()[2]}/state", timeout=30) as answer:
            assert b'"title": "my run"' in answer.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run=null"], "run=null: give the directory of a run"),
        (["task.player=main@0009"], "task.player: .* has no player 'main@0009'; its players are main, main@0000"),
        (["task.side=2"], "task.side: there is no side 2: give a number from 0 to 1, or one of player_1, player_2"),
        (["task.ui=gtk"], "task.ui=gtk is not allowed: give one of terminal, web"),
        (["task.port=70000"], "task.port=70000 is not allowed: give a value >= 0 and <= 65535"),
        (["task.anchors=[mcts]"], "task.anchors=mcts is not allowed"),
        (["task.host=0.0.0.0"], "task.host"),  # there is no such key
    ],
)
def test_errors_name_the_key_and_the_fix(run, tmp_path, overrides, message):
    with pytest.raises(Exception, match=message) as caught:
        run_task(load(["task=play", f"run='{run}'", *overrides], output_dir=str(tmp_path)))
    assert isinstance(caught.value, ConfigError) or "host" in message


def test_a_taken_port_is_named(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"task.port={port}: Address already in use: give another, or 0"):
            overrides = ["task=play", f"run='{run}'", "task.ui=web", f"task.port={port}"]
            run_task(load(overrides, output_dir=str(tmp_path)))


def test_a_person_joins_a_team_as_one_agent(tmp_path):
    run = write_run(tmp_path / "run", pool=())
    config = run / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("\n  payoff:", "\n  cooperative: true\n  payoff:"))
    with pytest.raises(
        ConfigError, match="task.side: side 0 has all agents, which leaves none to the player: give one of"
    ):
        run_task(load(["task=play", f"run={run}"], output_dir=str(tmp_path / "out")))

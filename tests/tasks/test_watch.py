"""`task=watch`: films of matches whose moves are known."""

import shutil
import subprocess

import pytest
from PIL import Image

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.run import run as run_task
from tests.evaluation.runs import write_run
from tests.playing.runs import tic_tac_toe_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tic_tac_toe_run(tmp_path_factory.mktemp("runs") / "run")


def watch(run, out, *overrides):
    return run_task(load(["task=watch", f"run={run}", "task.greedy=true", *overrides], output_dir=str(out)))


def test_films(run, tmp_path, capsys):
    # main fills a1 a2 a3 from the first cell and main@0000 c3 c2 c1 from the last one: who begins wins at step 5.
    players = "task.players=[main,main@0000]"
    assert watch(run, tmp_path, players, "task.matches=2", "task.fps=4", "task.size=120") == 0.5
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path}/match_00.gif: scores main 1, main@0000 0 in 5 steps"
    assert second == f"{tmp_path}/match_01.gif: scores main@0000 1, main 0 in 5 steps"
    with Image.open(tmp_path / "match_00.gif") as film:
        assert film.n_frames == 6 and film.info["loop"] == 0 and film.info["duration"] == 250
        assert film.size[1] >= 120
        frames = []
        for index in range(film.n_frames):
            film.seek(index)
            frames.append(film.convert("RGB").tobytes())
        assert len(set(frames)) == 6 and film.info["duration"] == 2000  # the last one stays


def test_a_player_against_itself_and_a_limit_of_steps(run, tmp_path, capsys):
    # Both take the first empty cell: a1 a3 b2 c1 are the first player's at step 7, the line a3 b2 c1.
    assert watch(run, tmp_path / "whole") == 1.0
    assert "scores main 1, main 0 in 7 steps" in capsys.readouterr().out
    watch(run, tmp_path / "short", "task.max_steps=3")
    assert "match_00.gif: not over after 3 steps" in capsys.readouterr().out
    with Image.open(tmp_path / "short" / "match_00.gif") as film:
        assert film.n_frames == 4


def test_texts_are_drawn(tmp_path, capsys):
    run = write_run(tmp_path / "run", pool=())
    assert watch(run, tmp_path / "out") == 0.5  # rock against rock
    with Image.open(tmp_path / "out" / "match_00.gif") as film:
        assert film.n_frames == 2 and film.size[0] > 240


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_mp4(run, tmp_path):
    watch(run, tmp_path, "task.format=mp4", "task.size=121")
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "stream=codec_name,nb_read_frames",
        "-of",
        "csv=p=0",
    ]
    found = subprocess.run([*probe, str(tmp_path / "match_00.mp4")], capture_output=True, text=True, check=True).stdout
    assert found.strip().split(",")[-1] == "8"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.players=[main,main,main]"], "task.players: 3 players for 2 sides: give one for each side, or one"),
        (["task.players=[main@0009]"], "task.players: .* has no player 'main@0009'"),
        (["task.players=['*@*','*']", "task.matches=0"], "task.matches=0 is not allowed: give a value >= 1"),
        (["task.players=main"], r"task.players=main is not a list: give task.players=\[main\]"),
        (["task.format=avi"], "task.format=avi is not allowed: give one of gif, mp4"),
        (["task.fps=0"], "task.fps=0 is not allowed: give a value > 0"),
    ],
)
def test_errors_name_the_key_and_the_fix(run, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        watch(run, tmp_path, *overrides)


def test_mp4_without_ffmpeg(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="task.format=mp4 needs the program ffmpeg, .*: give task.format=gif"):
        watch(run, tmp_path, "task.format=mp4")

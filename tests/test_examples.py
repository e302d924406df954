"""examples/: games of a user's own and the notebook, outside the checkout. tests/test_package.py has own_project."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest

import marl_app
from marl_app.config.compose import load
from marl_app.config.resume import expand
from marl_app.envs.checker import main as check
from marl_app.run import run
from tests.rllib.runs import SMALL

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(120)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of own_game as the current folder, on the import path as `python -m` puts it there."""
    shutil.copytree(EXAMPLES / "own_game", tmp_path / "mine", ignore=shutil.ignore_patterns("__pycache__", "runs"))
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    yield tmp_path / "mine"
    for name in ("nim", "bidding"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("game", ["nim", "bidding"])
def test_a_game_of_ones_own_is_checked_trained_evaluated_and_played(game, folder, monkeypatch, capsys):
    assert not check(["pettingzoo", f"name={game}"])
    small = [*SMALL, "env=pettingzoo", f"env.name={game}", "callbacks=[league,checkpoint]", "stop.iterations=3"]
    run(load(small, output_dir="runs/mine"))
    assert f"env.name={game}" in expand(["resume=runs/mine"], multirun=False)  # recorded, as by the command line
    run(load(["task=evaluate", "run=runs/mine", "task.games=4", "task.anchors=[random]"], output_dir="runs/evaluated"))
    assert Path("runs/evaluated/cross_play.json").is_file()
    agent = marl_app.load_agent("runs/mine")
    assert agent.metadata["agents"] == (["first", "second"] if game == "nim" else ["left", "right"])
    monkeypatch.setattr(sys, "argv", ["play.py", game, "runs/mine", "20"])
    runpy.run_path("play.py")
    # Hardly trained: how many it wins says nothing, but every match was played to its end with legal moves.
    assert f"{game}: the agent won " in capsys.readouterr().out


def test_nim_ends_with_the_player_who_takes_the_last_stone(folder):
    import nim

    env = nim.env(heaps=(1, 2))
    env.reset()
    assert env.observe("first")["action_mask"].tolist() == [1, 0, 0, 0, 0, 1, 1, 0, 0, 0]  # one of 1, one or two of 2
    for action in (5, 5, 0):  # one of the second heap, its last one, the last stone
        env.step(action)
    assert env.terminations == {"first": True, "second": True} and env.rewards == {"first": 1, "second": -1}


def test_bids_are_paid_and_the_higher_one_wins(folder):
    import bidding

    env = bidding.parallel_env()
    observations, _ = env.reset()
    assert observations["left"]["action_mask"].all()
    for bids in ((3, 2), (3, 2), (2, 4), (2, 2), (0, 0)):  # left wins two prizes, right one
        observations, rewards, over, _, _ = env.step({"left": bids[0], "right": bids[1]})
    assert env.coins.tolist() == [0, 0] and rewards == {"left": 1, "right": -1} and all(over.values())
    assert observations["left"]["action_mask"].tolist() == [1] + [0] * 10  # no coins are left


def test_the_notebook(tmp_path, monkeypatch, capsys):
    """Its cells run in order as one program, with a smaller run."""
    monkeypatch.chdir(tmp_path)
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text())["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    small = [*SMALL[2:], "callbacks=[league,evaluation,metrics,checkpoint]", "evaluation.games=4", "stop.iterations=2"]
    names = {}
    for cell in code:
        cell = cell.replace('"stop.minutes=1"', f"*{small!r}, 'callbacks.metrics.every_seconds=0'")
        cell = cell.replace("anchor, 100,", "anchor, 4,")
        exec(compile(cell, "notebook.ipynb", "exec"), names)
    assert names["config"].stop.iterations == 2 and len(names["progress"]) == 2
    assert "main@0000 against random: 0." in capsys.readouterr().out

"""`task=simulate` from the outside: the table, the files, a recorded run, and errors."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.run import run as run_task
from marl_app.tasks.simulate import _cell
from tests.planning.runs import write_run
from tests.runs.states import state_json, write_state

ROOT = Path(__file__).resolve().parents[2]
FEW = ("task.matches=20000", "task.window_matches=5000", "league.schedule.agent_steps=40000")


def simulated(directory, *overrides):
    """Run a simulation in this process; return its objective, and its rows by matchmaker."""
    objective = run_task(load(list(overrides), output_dir=str(directory)))
    return objective, json.loads((directory / "simulate.json").read_text())


def windows(directory):
    with (directory / "simulate.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_on_the_command_line_without_ray_or_torch(tmp_path):
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "marl_app", "task=simulate", *FEW, f"hydra.run.dir={tmp_path}"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    lines = result.stderr.splitlines()
    assert result.returncode == 0 and [line for line in lines if not line.startswith("import time:")] == []
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "marl_app.simulation.play" in imported and not {"ray", "torch"} & imported
    for text in ("win rate, hardest snapshot", "forgetting time, matches", "matches per second", str(tmp_path)):
        assert text in result.stdout
    picture = imread(tmp_path / "simulate.png")
    assert picture.shape[0] >= 300 and picture.shape[1] >= 500 and picture.min() < 0.5


def test_several_schemes_in_one_table(tmp_path):
    objective, rows = simulated(tmp_path, "+experiment=simulate_schemes", *FEW)
    assert list(rows) == ["league", "latest", "uniform", "pfsp", "alphastar", "openai_five"]
    assert objective == rows["league"]["hardest_win_rate"]
    assert rows["latest"]["coverage"] == 0 and rows["latest"]["intruder_found_after"] is None
    assert rows["uniform"]["coverage"] == 1 and rows["uniform"]["intruder_found_after"] is not None
    assert rows["latest"]["effective_opponents"] == 1 < rows["league"]["effective_opponents"]
    assert rows["uniform"]["effective_opponents"] > rows["pfsp"]["effective_opponents"] > 1
    assert all(row["matches_per_s"] > 10_000 for row in rows.values())  # a hundred thousand on an idle machine
    assert [row["matches"] for row in windows(tmp_path) if row["matchmaker"] == "pfsp"] == [
        str(5000 * number) for number in range(1, 5)
    ]


def test_roles_schedules_and_limits_come_from_the_configuration(tmp_path):
    league = ("league/matchmaker=alphastar", "league/schedule=alphastar", "league.pool_limit=6")
    _, rows = simulated(
        tmp_path,
        "task=simulate",
        *league,
        "league.schedule.agent_steps=20000",
        "+league.learners.rival={role: main_exploiter}",
        *FEW[:2],
    )
    assert rows["league"]["snapshots"] == 6


def test_synthetic_players_have_no_sides(tmp_path):
    _, rows = simulated(tmp_path, "task=simulate", "+experiment=pool_per_side", *FEW)
    assert rows["league"]["snapshots"] > 2 and rows["league"]["coverage"] > 0


def test_a_recorded_run(tmp_path):
    """Three snapshots, 100 Elo apart, 6,000 agent steps apart, at 50 agent steps a match: 240 matches."""
    run = write_run(tmp_path / "run")
    overrides = ("task=simulate", f"run={run}", "league/matchmaker=uniform", "task.intruder_at=null")
    objective, rows = simulated(tmp_path / "simulation", *overrides, "task.matches_per_iteration=10")
    row = rows["league"]
    assert row["snapshots"] == 3 and row["coverage"] is None and row["intruder_found_after"] is None
    assert objective == pytest.approx(0.5)  # the hardest is the newest, which equals the learner at the end
    last = windows(tmp_path / "simulation")[-1]
    assert int(last["matches"]) == 241 // 10 * 10 + 10  # whole iterations
    expected = (1 / (1 + 10**-0.5) + 1 / (1 + 10**-0.25) + 0.5) / 3  # 200, 100 and 0 Elo
    assert float(last["pool_win_rate"]) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("task.matches=0", "task.matches=0 is not allowed: give a value >= 1"),
        ("task.window_matches=100", "task.window_matches=100 is less than an iteration"),
        ("task.intruder_at=2", "task.intruder_at=2 is not allowed"),
        ("+league.learners.intruder={role: main_agent}", "the name is reserved for the intruder"),
        ("task.matchmakers=null", "task.matchmakers has no entry"),
        ("league.pool_limit=1", "pool_limit=1 is too small"),
        ("run=/nonexistent", "run=/nonexistent: there is no such directory"),
        ("run=conf", "run=conf: the run has no whole checkpoint"),
    ],
)
def test_errors_name_the_key_and_the_fix(tmp_path, line, expected):
    with pytest.raises(ConfigError) as caught:
        simulated(tmp_path, "task=simulate", line)
    assert expected in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_run_that_cannot_be_read_is_one_line(tmp_path):
    write_state(tmp_path / "run" / "checkpoints" / "checkpoint-00000001", state_json())
    with pytest.raises(ConfigError, match="cannot simulate this run") as caught:
        simulated(tmp_path, "task=simulate", f"run={tmp_path / 'run'}")
    assert len(str(caught.value).splitlines()) == 1


def test_never_is_said_of_what_could_have_happened_only():
    nothing = {
        "coverage": None,
        "intruder_found_after": None,
        "forgetting_time": None,
        "intruder_joined": None,
        "beaten": 0,
    }
    names = ("coverage", "intruder_found_after", "forgetting_time")
    assert [_cell(nothing, name, ",.0f") for name in names] == ["-", "-", "-"]
    assert [_cell({**nothing, "intruder_joined": 5, "beaten": 2}, name, ",.0f") for name in names] == [
        "-",
        "never",
        "never",
    ]
    assert _cell({**nothing, "coverage": 12.0}, "coverage", ",.0f") == "12"

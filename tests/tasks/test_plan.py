"""`task=plan` from the outside: the tables, the files, measurements of a run, and errors."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.run import run as run_task
from tests.planning.runs import write_run

ROOT = Path(__file__).resolve().parents[2]


def planned(directory, *overrides):
    """Make a plan in this process; return its objective, its rows by (quantity, design, link), and its assumptions."""
    config = load(["task=plan", *overrides], output_dir=str(directory))
    days = run_task(config)
    content = json.loads((directory / "plan.json").read_text())
    rows = {(row["quantity"], row["design"], row["link"]): row for row in content["rows"]}
    return days, rows, {row["quantity"]: row for row in content["assumptions"]}


def test_on_the_command_line(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "marl_app", "task=plan", "league/matchmaker=uniform", f"hydra.run.dir={tmp_path}"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0 and result.stderr == ""
    for text in ("173.6   days", "100   GB", "400   TB", "2.667"):  # the worked example
        assert text in result.stdout
    assert "…" not in result.stdout  # nothing is cut off
    assert {"plan.json", "plan.csv", "plan.png"} <= {file.name for file in tmp_path.iterdir()}


def test_neither_ray_nor_torch_is_imported(tmp_path):
    code = (
        "import sys; from marl_app.config.compose import load; from marl_app.run import run; "
        f"run(load(['task=plan'], output_dir={str(tmp_path)!r})); print({{'ray', 'torch'}} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.stdout.endswith("set()\n"), result.stdout[-500:] + result.stderr


def test_the_objective_and_a_unit_in_every_row(tmp_path):
    days, rows, assumptions = planned(tmp_path)
    assert days == pytest.approx(173.6, abs=0.05)
    assert all(row["unit"] for row in [*rows.values(), *assumptions.values()])
    assert {row["note"].partition(":")[0] for row in assumptions.values()} == {"conf", "matchmaker Mix"}
    with (tmp_path / "plan.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(assumptions) + len(json.loads((tmp_path / "plan.json").read_text())["rows"])


def test_the_matchmaker_comes_from_the_configuration(tmp_path):
    at_store = ("snapshots", "b", "store")
    _, mix, _ = planned(tmp_path / "mix")
    _, uniform, _ = planned(tmp_path / "uniform", "league/matchmaker=uniform")
    _, latest, _ = planned(tmp_path / "latest", "league/matchmaker=latest")
    # 80 % self-play fetches a fifth; pure self-play fetches nothing, and has no hit rates.
    assert mix[at_store]["value"] == pytest.approx(0.2 * uniform[at_store]["value"])
    assert latest[at_store]["value"] == 0 and not any("hit rate" in quantity for quantity, _, _ in latest)
    # PFSP prefers the newest snapshots: a small cache holds most of its requests, but a tenth of uniform ones.
    small = "task.rack_cache_snapshots=50"
    hit = ("hit rate, c: rack cache", "c", "")
    _, uniform, _ = planned(tmp_path / "u", "league/matchmaker=uniform", small)
    _, pfsp, _ = planned(tmp_path / "p", "league/matchmaker=pfsp", small)
    assert uniform[hit]["value"] == pytest.approx(0.1, abs=0.01) and pfsp[hit]["value"] > 0.8


def test_a_plan_from_a_run(tmp_path):
    run = write_run(tmp_path / "run")
    _, _, assumptions = planned(tmp_path / "plan", f"run={run}", "task.keep=[freeze_interval_s]")
    assert assumptions["match_s"]["value"] == pytest.approx(3) and assumptions["match_s"]["note"] == "run"
    assert assumptions["snapshot_bytes"]["value"] == 10_000
    assert assumptions["freeze_interval_s"]["value"] == 7200 and assumptions["freeze_interval_s"]["note"] == "conf"
    assert assumptions["actors"]["value"] == 4000 and assumptions["actors"]["note"] == "conf"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("task.actors=0", "task.actors=0 is not allowed: give a value >= 1"),
        ("task.match_s=long", "task.match_s=long is not a number"),
        ("task.racks=2000", "task.racks=2000 is more than task.nodes=1000: give as many racks or fewer"),
        ("task.keep=[foo]", "task.keep: unknown setting foo: give some of"),
        ("task.keep=match_s", "give task.keep=[match_s]"),
        ("task.actor=1", "Did you mean task.actors?"),
        ("run=/nonexistent", "run=/nonexistent: there is no such directory"),
        ("run=conf", "run=conf: no run has ended in this directory (summary.json is missing)"),
    ],
)
def test_errors_name_the_key_and_the_fix(tmp_path, line, expected):
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, line)
    assert expected in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_run_that_cannot_be_read_is_one_line(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "progress.jsonl").write_text("{\n")
    with pytest.raises(ConfigError, match="cannot plan from this run") as caught:
        planned(tmp_path / "plan", f"run={run}")
    assert f"run={run}" in str(caught.value) and len(str(caught.value).splitlines()) == 1

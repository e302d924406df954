"""`task=stress` from the outside: tables and files of the simulated part; the real part on a small cluster."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from marl_app.config.compose import load
from marl_app.run import run as run_task
from marl_app.tasks.stress_cluster import DesignMeasurement

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("task.actors=400", "task.racks=10", "task.nodes=50", "task.pool_snapshots=50", "league/matchmaker=uniform")


def command_line(folder, *arguments, timeout=120):
    return subprocess.run(
        [sys.executable, "-m", "marl_app", "task=stress", *arguments, f"hydra.run.dir={folder}"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def rows(folder):
    return json.loads((folder / "stress.json").read_text())["rows"]


def value_of(found, quantity, design, link="", note=""):
    """Return the value of the only row with this quantity, design, link and beginning of the note."""
    [value] = [
        row["value"]
        for row in found
        if (row["quantity"], row["design"], row["link"]) == (quantity, design, link) and row["note"].startswith(note)
    ]
    return value


def test_simulated(tmp_path):
    result = command_line(
        tmp_path, *SMALL, "task.parts=[simulated]", "task.limits_store_gbit_per_s=[1]", "task.limits_up_to_actors=800",
        "task.simulated_snapshot_bytes=[100_000,200_000_000]",
    )  # fmt: skip
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "Actor limits of the store's link" in result.stdout and "…" not in result.stdout  # nothing is cut off
    found = rows(tmp_path)
    for size in ("snapshots of 100000 B", "snapshots of 2e+08 B"):
        for design in "abcd":
            simulated, planned = (
                value_of(found, f"bytes, {how}", design, "store", size) for how in ("simulated", "planned")
            )
            assert simulated == pytest.approx(planned, rel=0.1)
        assert value_of(found, "bytes, simulated", "b", "store", size) > 3 * value_of(
            found, "bytes, simulated", "c", "store", size
        )
    # 1 Gbit/s suffices for 93.75 actors of 2 x 200 MB per 300 s each.
    assert value_of(found, "actor limit, simulated", "b", "store") == pytest.approx(93.75, rel=0.1)
    with (tmp_path / "stress.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(found)
    assert {"store_bytes_by_actors.png", "memory_by_pool.png"} <= {file.name for file in tmp_path.iterdir()}


def test_errors(tmp_path):
    for override, text in (
        ("task.parts=[imagined]", "task.parts=imagined is not allowed"),
        ("task.real_nodes=3", "task.real_nodes=3 is no multiple of task.real_racks=2"),
    ):
        result = command_line(tmp_path, override)
        assert result.returncode == 2 and text in result.stderr, result.stderr


def measured(design, case, memory_bytes):
    """A measurement without Ray: what a design needs in memory decides whether it was left out."""
    link = {"store": 100, "rack cache": 0}
    if case.memory_bytes(design) > memory_bytes:
        return DesignMeasurement(design, case, {}, dict.fromkeys(link, 1.0), note="needs too much memory")
    return DesignMeasurement(design, case, link, dict.fromkeys(link, 1.0))


@pytest.mark.parametrize(("memory", "left_out"), [("1_000_000", "a"), ("1_000", "abcd")])
def test_the_other_measurements_are_written_if_the_largest_case_was_left_out(tmp_path, monkeypatch, memory, left_out):
    # Design a holds the pool in each of 8 processes, 8 x 4 x 100 kB; the others hold it once.
    monkeypatch.setattr(
        "marl_app.tasks.stress_cluster.measure_designs",
        lambda store, cases, picked, nodes, racks, matches, memory_bytes, rng: [
            measured(design, case, memory_bytes) for case in cases for design in "abcd"
        ],
    )
    sizes = ("task.real_actors=[8]", "task.real_pool=[4]", "task.real_snapshot_bytes=[100_000]")
    line = ["task=stress", "task.parts=[real]", *sizes, f"task.real_memory_bytes={memory}"]
    assert math.isnan(run_task(load(line, output_dir=str(tmp_path))))
    found = rows(tmp_path)
    assert {row["design"] for row in found if row["quantity"] == "real: left out"} == set(left_out)
    assert {row["design"] for row in found if row["quantity"] == "real: bytes"} == set("abcd") - set(left_out)
    assert (tmp_path / "real_store_bytes_by_actors.png").is_file() == (left_out == "a")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real(tmp_path):
    """8 processes on 4 Ray nodes in 2 racks, 64 snapshots: a tenth of the bytes of design a out of the store."""
    result = command_line(
        tmp_path, "task.parts=[real]", "league/matchmaker=uniform", "task.real_actors=[8]", "task.real_pool=[64]",
        "task.real_snapshot_bytes=[1_000_000]", timeout=500,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    moved = {design: value_of(rows(tmp_path), "real: bytes", design, "store") for design in "abcd"}
    assert moved["a"] == pytest.approx(8 * 64 * 1e6, rel=0.01)
    assert moved["b"] == pytest.approx(8 * 6 * 1e6, rel=0.03)  # some opponents are drawn twice in a row
    assert moved["a"] >= 10 * moved["c"] and moved["c"] == moved["d"]
    for design, link in (*((name, "store") for name in "abcd"), ("c", "rack cache"), ("d", "rack cache")):
        planned = value_of(rows(tmp_path), "real: bytes, planned", design, link)
        assert value_of(rows(tmp_path), "real: bytes", design, link) == pytest.approx(planned, rel=0.15)
    memory = {design: value_of(rows(tmp_path), "real: private memory per process, mean", design) for design in "abd"}
    assert memory["a"] > 60e6 and memory["b"] < 5e6 and memory["d"] < 0.7e6
    assert not list((tmp_path / "snapshots").glob("?" * 64))  # deleted after the measurement

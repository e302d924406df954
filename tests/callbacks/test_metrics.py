"""LogMetrics: one line in progress.jsonl and one point per curve for every iteration, and pictures at intervals."""

import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_app.callbacks.metrics import LogMetrics
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

RUN = ("env=rock_paper_scissors", "callbacks=[league,metrics]")


def lines(folder):
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def curves(folder):
    """Return {curve: [(step, value)]} and {picture: [step]}, as TensorBoard reads them."""
    events = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    scalars = {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return scalars, {tag: [image.step for image in events.Images(tag)] for tag in events.Tags()["images"]}


def test_curves_and_lines_equal_the_report(tmp_path):
    reports = []
    with running(tmp_path, *RUN, "callbacks.metrics.pictures_every_s=1000") as algorithm:
        for _ in range(4):
            algorithm.train()
            reports.append(algorithm.report)
        algorithm.events.report({"evaluation/random/greedy/score": 0.5}, {})
        algorithm.events.fire("on_run_end", status="finished")
    assert lines(tmp_path) == [json.loads(json.dumps({"iteration": r["iteration"], **r})) for r in reports]
    scalars, pictures = curves(tmp_path)
    for name in set.union(*(set(report) for report in reports)):
        expected = [(512 * r["iteration"], r[name]) for r in reports if name in r]
        assert [step for step, _ in scalars[name]] == [step for step, _ in expected], name
        np.testing.assert_allclose([v for _, v in scalars[name]], [v for _, v in expected], rtol=1e-6, err_msg=name)
    assert scalars["evaluation/random/greedy/score"] == [(2048, 0.5)]
    assert {"learner/entropy", "learner/mean_kl", "league/elo", "league/pool_size", "matches/length"} <= set(scalars)
    # One picture at the first iteration, one at the end.
    assert pictures == {f"league/{name}": [512, 2048] for name in ("payoff", "ratings", "matchmaking")}


def test_a_resumed_run_hides_the_points_after_its_checkpoint(tmp_path):
    with running(tmp_path, *RUN) as algorithm:
        for iteration in range(5):
            algorithm.train()
            if iteration == 2:
                save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
        [writer] = [callback._writer for callback in algorithm.callbacks if isinstance(callback, LogMetrics)]
        writer.flush()
        # As if the run were killed here, two iterations after the checkpoint.
    assert [step for step, _ in curves(tmp_path)[0]["learner/entropy"]] == [
        512 * iteration for iteration in range(1, 6)
    ]
    with running(tmp_path, *RUN) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        algorithm.records.truncate(algorithm.iteration)
        for _ in range(3):
            algorithm.train()
        algorithm.events.fire("on_run_end", status="finished")
    steps = [512 * iteration for iteration in range(1, 7)]
    assert [step for step, _ in curves(tmp_path)[0]["learner/entropy"]] == steps
    assert [line["steps/env_steps"] for line in lines(tmp_path)] == steps
    seconds = [line["seconds"] for line in lines(tmp_path)]
    assert seconds == sorted(seconds)  # the clock goes on from the checkpoint

"""LogMetrics: lines of progress.jsonl and points of curves, of single or averaged iterations, and pictures."""

import json
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_app.callbacks.metrics import LogMetrics
from marl_app.metrics.averages import Averages
from marl_app.metrics.metric import ALWAYS
from marl_app.metrics.names import find_metric
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

PICTURES = ("payoff", "ratings", "matchmaking", "opponents", "lineages")
RUN = ("env=rock_paper_scissors", "callbacks=[league,metrics]", "callbacks.metrics.every_seconds=0")


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
        algorithm.events.fire("on_checkpoint")  # of a callback that comes later
    assert lines(tmp_path) == [json.loads(json.dumps({"iteration": r["iteration"], **r})) for r in reports]
    scalars, pictures = curves(tmp_path)
    reported = set.union(*(set(report) for report in reports))
    hidden = {name for name in reported if find_metric(name).curve != ALWAYS}  # nothing has failed in this run
    assert not hidden & set(scalars) and {"iteration", "seconds", "health/failures"} <= hidden
    for name in reported - hidden:
        expected = [(512 * r["iteration"], r[name]) for r in reports if name in r]
        assert [step for step, _ in scalars[name]] == [step for step, _ in expected], name
        np.testing.assert_allclose([v for _, v in scalars[name]], [v for _, v in expected], rtol=1e-6, err_msg=name)
    assert scalars["evaluation/random/greedy/score"] == [(2048, 0.5)]
    assert {"learner/entropy", "learner/mean_kl", "league/elo", "league/pool_size", "matches/length"} <= set(scalars)
    # The meta-strategy of each new pool is recorded, and that of the last one again at the end.
    mixtures = [json.loads(line) for line in (tmp_path / "meta_strategy.jsonl").read_text().splitlines()]
    sizes = [len(mixture["probabilities"]) for mixture in mixtures]
    assert sizes == sorted(sizes) and sizes[0] == 1 and sizes[-1] == len(algorithm.league.snapshots) > 1
    assert all(sum(mixture["probabilities"].values()) == pytest.approx(1) for mixture in mixtures)
    assert mixtures[-1]["iteration"] == 4 and mixtures[-1]["steps/env_steps"] == 2048
    assert pictures == {f"league/{name}": [2048] for name in PICTURES}  # at the end


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
        [writer] = [callback for callback in algorithm.callbacks if isinstance(callback, LogMetrics)]
        # The picture of opponents over time includes the matches before the resume: all that the league has counted.
        matches, last = writer._history.table(writer._history.opponents)
        assert (matches.sum(), last) == (algorithm.counters.matches, 6)
    steps = [512 * iteration for iteration in range(1, 7)]
    assert [step for step, _ in curves(tmp_path)[0]["learner/entropy"]] == steps
    assert [line["steps/env_steps"] for line in lines(tmp_path)] == steps
    seconds = [line["seconds"] for line in lines(tmp_path)]
    assert seconds == sorted(seconds)  # the clock goes on from the checkpoint


def test_iterations_between_two_points_are_averaged(tmp_path):
    # No point is due after the first, until a checkpoint and the end of the run ask for one.
    reports = []
    with running(tmp_path, *RUN, "callbacks.metrics.every_seconds=1000") as algorithm:
        for _ in range(7):
            algorithm.train()
            reports.append(algorithm.report)
            if len(reports) == 4:
                algorithm.events.fire("on_checkpoint")
                assert [line["iteration"] for line in lines(tmp_path)] == [1, 4]
        algorithm.events.fire("on_run_end", status="finished")
    parts = [reports[:1], reports[1:4], reports[4:]]
    written = lines(tmp_path)
    assert [line["iteration"] for line in written] == [1, 4, 7]
    for line, part in zip(written, parts, strict=True):
        for name in ("steps/env_steps", "seconds", "league/pool_size", "health/failures"):  # totals: the last value
            assert line[name] == part[-1][name]
        for name in ("learner/entropy", "throughput/env_steps_per_s", "matches/length"):
            assert line[name] == pytest.approx(np.mean([report[name] for report in part]))
    # Rows are a mean, too: times the number of iterations they make the total.
    counts = np.diff([0, *(line["iteration"] for line in written)])
    rows = [line["learner/batch_rows"] for line in written]
    assert np.cumsum(rows * counts).tolist() == [line["steps/trained_agent_steps"] for line in written]
    scalars, _ = curves(tmp_path)
    assert [step for step, _ in scalars["learner/entropy"]] == [512, 2048, 3584]


def test_what_only_some_iterations_report_is_averaged_over_them():
    averages = Averages()
    averages.add({"iteration": 1, "league/elo": 10.0, "learner/entropy": 1.0})
    averages.add({"iteration": 2, "learner/entropy": 2.0})
    with pytest.raises(KeyError, match="unknown metric"):
        averages.add({"iteration": 3, "no/such": 1.0})
    assert averages.pop() == {"iteration": 2, "league/elo": 10.0, "learner/entropy": 1.5}
    assert not averages and averages.pop() == {}


def test_points_are_written_at_most_once_per_interval(tmp_path):
    with running(tmp_path, *RUN, "callbacks.metrics.every_seconds=0.3") as algorithm:
        began = time.monotonic()
        while time.monotonic() - began < 1 or algorithm.iteration < 8:
            algorithm.train()
        elapsed, iterations = time.monotonic() - began, algorithm.iteration
        algorithm.events.fire("on_run_end", status="finished")
    points = lines(tmp_path)
    # The first iteration is a point, and the last ones are when the run ends, however slow the machine is.
    assert 3 <= len(points) <= elapsed / 0.3 + 2 and points[-1]["iteration"] == iterations

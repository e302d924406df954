"""`task=study` on synthetic curves."""

import json

import numpy as np
import pandas as pd
import pytest

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.run import run
from marl_app.tasks.seeds import interquartile_mean, interval
from marl_app.tasks.study import band, read_groups


def record(folder, overrides, slope, end=100):
    """Write a run whose metric grows by `slope` per iteration of 10 env steps and 2 seconds."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {line}\n" for line in overrides))
    lines = (
        {"steps/env_steps": 10 * i, "seconds": 2 * i, "steps/trained_agent_steps": 30 * i, "matches/return": slope * i}
        for i in range(1, end + 1)
    )
    (folder / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def sweep(tmp_path):
    """Two algorithms with three seeds each; the curves of the good algorithm grow about twice as fast."""
    for algorithm, slopes in (("good", (1.9, 2.0, 2.1)), ("poor", (0.9, 1.0, 1.1))):
        for seed, slope in enumerate(slopes):
            overrides = ["+experiment=mappo", f"algorithm={algorithm}", f"seed={seed}", "hydra.run.dir=x"]
            record(tmp_path / f"{algorithm}{seed}", overrides, slope)
    (tmp_path / "broken" / ".hydra").mkdir(parents=True)  # a run without files
    record(tmp_path / "good0" / "evaluations" / "1_exploit", ["task=exploit"], 9.0)  # in a run: not one of the sweep
    return tmp_path


def test_runs_that_differ_only_in_their_seed_are_one_group(sweep):
    groups = read_groups(sweep, "matches/return", scale=3.0)
    assert {name: len(runs) for name, runs in groups.items()} == {"algorithm=good": 3, "algorithm=poor": 3}
    assert sorted(curve["value"].iloc[0] for curve in groups["algorithm=good"]) == pytest.approx([5.7, 6.0, 6.3])


def test_the_table_of_a_sweep(sweep, tmp_path, capsys):
    overrides = ["task=study", f"run={sweep}", "task.thresholds=[100]"]
    objective = run(load(overrides, output_dir=str(tmp_path / "out")))
    table = pd.read_csv(tmp_path / "out" / "study.csv", index_col="group")
    # The final value is the mean of iterations 91 to 100, the value at iteration 95.5.
    assert table["final"].to_dict() == pytest.approx({"algorithm=good": 191.0, "algorithm=poor": 95.5})
    assert objective == pytest.approx(191.0) and list(table.index) == ["algorithm=good", "algorithm=poor"]
    good = table.loc["algorithm=good"]
    assert 1.89 * 95.5 < good["low"] < 191 < good["high"] < 2.11 * 95.5
    assert (good["env steps/s"], good["trained agent steps/s"]) == pytest.approx((5, 15))
    # Smoothing delays a linear curve by less than ten iterations; of the poor runs only the fastest reaches 100.
    assert 500 < good["env steps to 100"] < 600 and good["seconds to 100"] == good["env steps to 100"] / 5
    assert table["runs at 100"].to_dict() == {"algorithm=good": 3, "algorithm=poor": 1}
    assert {"study_env_steps.png", "study_seconds.png"} <= {file.name for file in (tmp_path / "out").iterdir()}
    assert "algorithm=poor" in capsys.readouterr().out


def test_lower_is_better(sweep, tmp_path):
    overrides = ["task=study", f"run={sweep}", "task.higher_is_better=false"]
    assert run(load(overrides, output_dir=str(tmp_path / "out"))) == pytest.approx(95.5)


def test_the_interquartile_mean_and_its_interval():
    # The middle half of eight values is 3 to 6, without the outlier. Of three values none is left out.
    assert interquartile_mean(np.array([1.0, 2, 3, 4, 5, 6, 7, 800])) == 4.5
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3
    rng = np.random.default_rng(0)
    assert all(np.isnan(interval(np.array([1.0]), 0.95, rng)))
    assert interval(np.array([2.0, 2.0, 2.0, 2.1]), 0.95, rng)[0] == pytest.approx(2.0)


def test_a_curve_ends_where_the_shortest_run_does(tmp_path):
    for seed, end in enumerate((50, 100)):
        record(tmp_path / str(seed), [f"seed={seed}"], 1.0, end)
    x, middle, low, high = band(read_groups(tmp_path, "matches/return", 1.0)["all"], "steps/env_steps")
    assert (x[0], x[-1]) == (10, 500) and np.allclose(middle, low) and np.allclose(middle, high)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "run=null: give the directory of a sweep"),
        (["run=/nowhere"], "run=/nowhere: there is no such directory"),
        (["run=conf"], "run=conf: no run below it has recorded matches/return"),
    ],
)
def test_nothing_to_study(overrides, message):
    with pytest.raises(ConfigError, match=message):
        run(load(["task=study", *overrides]))

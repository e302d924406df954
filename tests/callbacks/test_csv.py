"""WriteCSV: pandas reads the file; a new metric is a new column; a resume drops what came after its checkpoint."""

import pandas as pd
import pytest
from matplotlib.image import imread

from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

RUN = ("env=rock_paper_scissors", "callbacks=[league,metrics,csv]", "callbacks.csv.every_seconds=0")


def test_rows_equal_the_report_and_a_resume_drops_later_rows(tmp_path):
    reports = []
    with running(tmp_path, *RUN) as algorithm:
        for iteration in range(4):
            algorithm.train()
            reports.append(algorithm.report)
            if iteration == 1:
                save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
        # As if the run were killed here, in the middle of a row.
        with (tmp_path / "csv" / "metrics.csv").open("a") as file:
            file.write("25")
    with running(tmp_path, *RUN) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        algorithm.records.truncate(algorithm.iteration)
        algorithm.train()
        reports[2:] = [algorithm.report]
        algorithm.events.report({"evaluation/random/greedy/score": 0.5}, {})
        algorithm.events.fire("on_run_end", status="finished")
    table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
    assert table["steps/env_steps"].tolist() == [512, 1024, 1536, 1536]
    assert table["evaluation/random/greedy/score"].tolist()[3] == 0.5
    for row, report in enumerate(reports):
        for name, value in report.items():
            assert table[name][row] == pytest.approx(value), name
    assert imread(tmp_path / "csv" / "league_payoff.png").shape[:2] == (528, 736)

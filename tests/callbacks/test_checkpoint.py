"""Checkpoints come on a schedule and at the end, with the records that belong to them."""

import pandas as pd
import pytest

from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

CALLBACKS = "callbacks=[league,metrics,checkpoint]"


def saved(folder):
    return sorted(int(path.name[-8:]) for path in (folder / "checkpoints").glob("*"))


def test_on_a_schedule(tmp_path):
    with running(tmp_path, "env=rock_paper_scissors", CALLBACKS, "checkpoint.every_seconds=0.001") as algorithm:
        for iteration in range(1, 6):
            algorithm.train()
            assert saved(tmp_path) == list(range(max(1, iteration - 2), iteration + 1))  # keep=3
            assert latest_checkpoint(tmp_path / "checkpoints").path == algorithm.checkpoint
            # What it remembers is on disk with it.
            assert pd.read_parquet(tmp_path / "matches").iteration.max() == iteration


def test_not_before_it_is_time_but_at_the_end(tmp_path):
    with running(tmp_path, "env=rock_paper_scissors", CALLBACKS, "checkpoint.every_seconds=1000") as algorithm:
        algorithm.train()
        assert saved(tmp_path) == [] and algorithm.checkpoint is None
        algorithm.events.fire("on_run_end", status="interrupted")
        assert saved(tmp_path) == [1] and algorithm.checkpoint == tmp_path / "checkpoints" / "checkpoint-00000001"


def test_a_run_that_failed_leaves_its_last_good_checkpoint(tmp_path):
    with running(tmp_path, "env=rock_paper_scissors", CALLBACKS, "checkpoint.every_seconds=1000") as algorithm:
        algorithm.train()
        algorithm.events.fire("on_run_end", status="failed")
        assert saved(tmp_path) == []

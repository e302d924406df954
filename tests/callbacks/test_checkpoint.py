"""Checkpoints are saved on a schedule and at the end of a run, together with the match records."""

import pandas as pd
import pytest

from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

CALLBACKS = "callbacks=[league,metrics,checkpoint]"


def saved(folder):
    return sorted(int(path.name[-8:]) for path in (folder / "checkpoints").glob("*"))


def test_checkpoints_on_a_schedule(tmp_path):
    with running(tmp_path, "env=rock_paper_scissors", CALLBACKS, "checkpoint.every_seconds=0.001") as algorithm:
        for iteration in range(1, 6):
            algorithm.train()
            assert saved(tmp_path) == list(range(max(1, iteration - 2), iteration + 1))  # keep=3
            assert latest_checkpoint(tmp_path / "checkpoints").path == algorithm.checkpoint
            # The match records that the checkpoint counts are flushed to disk with it.
            assert pd.read_parquet(tmp_path / "matches").iteration.max() == iteration


def test_the_end_of_a_run_saves_a_checkpoint_that_is_not_due(tmp_path):
    with running(tmp_path, "env=rock_paper_scissors", CALLBACKS, "checkpoint.every_seconds=1000") as algorithm:
        algorithm.train()
        assert saved(tmp_path) == [] and algorithm.checkpoint is None
        algorithm.events.fire("on_run_end", status="interrupted")
        assert saved(tmp_path) == [1] and algorithm.checkpoint == tmp_path / "checkpoints" / "checkpoint-00000001"


def test_a_failed_run_saves_no_checkpoint_at_its_end(tmp_path):
    with running(tmp_path, "env=rock_paper_scissors", CALLBACKS, "checkpoint.every_seconds=1000") as algorithm:
        algorithm.train()
        algorithm.events.fire("on_run_end", status="failed")
        assert saved(tmp_path) == []

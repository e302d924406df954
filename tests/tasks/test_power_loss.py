"""A loss of power at any moment of a run: what a checkpoint counts on is durable before the checkpoint is."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_app.config.compose import load
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.disk import DiskStore
from marl_app.store.garbage import reference_owner
from marl_app.store.store import REFERENCES
from marl_app.tasks.train import train
from tests.rllib.runs import SMALL
from tests.tasks.power_loss import Disk

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(200)]

ITERATIONS = 9
RUN = (
    *SMALL,
    "env=rock_paper_scissors",
    "callbacks=[league,metrics,checkpoint,progress]",
    "callbacks.metrics.every_seconds=0.05",  # several iterations a point
    "checkpoint.every_seconds=0.001",
    f"stop.iterations={ITERATIONS}",
)


@pytest.fixture
def folder():
    """A folder of a file system that never uses an inode number again, as tmpfs."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield path
    shutil.rmtree(path)


def check(run):
    """Check everything that the newest checkpoint counts on; return its iteration, 0 without one."""
    saved = latest_checkpoint(run / "checkpoints")
    if saved is None:
        return 0
    state = saved.state
    progress = pd.read_json(run / "progress.jsonl", lines=True)
    assert progress.iteration.is_monotonic_increasing and state.iteration in progress.iteration.to_numpy()
    rows = progress[progress.iteration <= state.iteration]
    counts = np.diff([0, *rows.iteration])
    assert np.sum(counts * rows["learner/batch_rows"]) == pytest.approx(state.counters.trained_agent_steps)
    matches = pd.read_parquet(run / "matches")
    matches = matches[matches.iteration <= state.iteration]
    assert sorted(matches.iteration.unique()) == list(range(1, state.iteration + 1))
    assert matches[["wins", "draws", "losses"]].to_numpy().sum() == state.league["matches"]
    events = EventAccumulator(str(run / "tb"), size_guidance={"scalars": 0})
    events.Reload()
    assert state.counters.env_steps in [point.step for point in events.Scalars("learner/entropy")]
    store = DiskStore(run / "snapshots")
    for digest in state.needed_digests:
        store.get(digest)  # raises for a missing or damaged one
    notes = store.notes(REFERENCES)
    assert not notes or notes.keys() == {reference_owner(run)}
    return state.iteration


def test_a_power_loss_at_any_moment_leaves_a_run_that_goes_on(folder):
    run = folder / "run"
    disk = Disk(folder)
    with disk.watched():
        train(load(RUN, output_dir=str(run)))
    assert check(run) == ITERATIONS
    # Cuts at every fifth sync, and at the last; before the first checkpoint there is nothing to continue.
    iterations = []
    for number, state in enumerate(disk.states[::-5][::-1]):
        left = disk.restore(state, folder / f"cut{number}")
        iterations.append(check(left / "run"))
    assert iterations == sorted(iterations) and iterations[0] == 0 and iterations[-1] == ITERATIONS
    assert set(iterations) >= set(range(ITERATIONS + 1)) - {0}
    # A run that was cut in the middle of its checkpoints is continued to the end.
    for number in (len(iterations) // 3, 2 * len(iterations) // 3):
        left = folder / f"cut{number}" / "run"
        train(load([*RUN, f"resume={left}"], output_dir=str(left)))
        assert check(left) == ITERATIONS


def test_without_syncs_the_check_fails(folder):
    # The model loses what is not synced: otherwise the test above could not fail.
    run, disk = folder / "run", Disk(folder)
    with disk.watched():
        train(load(RUN, output_dir=str(run)))
    files, folders = disk.states[-1]
    [progress] = [inode for names in folders.values() for name, (inode, _) in names.items() if name == "progress.jsonl"]
    del files[progress]
    with pytest.raises((AssertionError, AttributeError, ValueError)):
        check(disk.restore((files, folders), folder / "cut") / "run")

"""A run whose disk is full: a mounted file system of 8 MB, filled to the last byte by a file."""

import json
import subprocess

import pytest

from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.object_store import ObjectStore
from marl_app.store.outbox import Outbox
from marl_app.store.store import REFERENCES
from tests.rllib.runs import matches, running, watch_messages


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of the TensorBoard writer
@pytest.mark.usefixtures("ray_here")
@pytest.mark.timeout(120)
def test_training_goes_on_while_the_disk_is_full_and_nothing_is_lost(small_disk):
    overrides = ("env=rock_paper_scissors", "league.schedule.agent_steps=600", "checkpoint.every_seconds=0.001")
    with running(small_disk, *overrides, "callbacks=[league,metrics,checkpoint]") as algorithm:
        messages = watch_messages(algorithm)
        while len(algorithm.league.snapshots) < 2:
            algorithm.train()
        saved, pool = algorithm.checkpoint, len(algorithm.league.snapshots)

        filler = fill(small_disk)
        for _ in range(8):  # two snapshots would be due
            algorithm.train()
        assert len(algorithm.league.snapshots) == pool and algorithm.checkpoint == saved
        assert latest_checkpoint(small_disk / "checkpoints").path == saved  # still complete
        assert algorithm.report["health/failures"] >= 8
        waits = {message.partition(" has to wait")[0] for message in messages}
        assert {"freezing main", "the checkpoint", "progress.jsonl"} <= waits
        assert any("No space left" in message for message in messages)

        filler.unlink()
        for _ in range(4):
            algorithm.train()
        assert len(algorithm.league.snapshots) > pool and not algorithm.disk_errors._waiting
        assert {one.digest for one in algorithm.league.snapshots} <= set(algorithm.store.list())
        state = latest_checkpoint(small_disk / "checkpoints").state.to_json()
        assert state["iteration"] == algorithm.iteration
        # Every match and every iteration is in the records, including those during the full disk.
        assert matches(small_disk)[["wins", "draws", "losses"]].to_numpy().sum() == state["league"]["matches"]
        lines = [json.loads(line) for line in (small_disk / "progress.jsonl").read_text().splitlines()]
        assert [line["iteration"] for line in lines] == list(range(1, algorithm.iteration + 1))
        assert lines[-1]["health/failures"] == algorithm.counters.failures > 0
        algorithm.events.fire("on_run_end", status="finished")


def test_an_outbox_on_a_full_disk_publishes_directly(small_disk, tmp_path):
    (tmp_path / "store").mkdir()
    store = ObjectStore(f"file://{tmp_path}/store")
    outbox = Outbox(store, small_disk / "outbox")
    fill(small_disk)
    digest = outbox.put(bytes(100_000))
    outbox.note(REFERENCES, "me", {"digests": [digest]})
    assert store.get(digest) == bytes(100_000) and store.notes(REFERENCES) == {"me": {"digests": [digest]}}
    assert outbox.queued == 0

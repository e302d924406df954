"""Runs made by 0.1.0, before folders and classes were renamed, resume and play.

`alphastar.tar.gz`: +experiment=alphastar +debug=smoke env=tic_tac_toe model.hidden=[8] evaluation.games=4, three
iterations, four learners. `qmix.tar.gz`: +experiment=qmix +debug=smoke. Their newest checkpoints, without tb/.
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest

import marl_app
from marl_app.config.compose import compose_job, to_config
from marl_app.config.resume import expand
from marl_app.run import run as run_task
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.runs.members import Members

FOLDER = Path(__file__).parent


@pytest.fixture
def old_run(tmp_path):
    """Unpack a recorded run by name, and return its directory."""

    def unpack(name):
        with tarfile.open(FOLDER / f"{name}.tar.gz") as archive:
            archive.extractall(tmp_path, filter="data")
        return tmp_path / name

    return unpack


def resume(directory, *overrides):
    config = to_config(compose_job(expand([f"resume={directory}", *overrides], multirun=False), str(directory)))
    return run_task(config)


def test_a_snapshot_and_the_newest_agent_play(old_run):
    directory = old_run("alphastar")
    members = Members(directory)
    assert members.learners == ["main", "main_exploiter", "league_exploiter_0", "league_exploiter_1"]
    assert members.steps["main@0000"] > 0
    for player in (None, "main@0000", "league_exploiter_1@0000"):
        agent = marl_app.load_agent(directory, player)
        probabilities = agent.probabilities(np.zeros((3, 3, 2), np.float32), np.array([True] * 5 + [False] * 4))
        assert probabilities.sum() == pytest.approx(1, abs=1e-6) and not probabilities[5:].any()


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize(("name", "learners"), [("alphastar", 4), ("qmix", 1)])
def test_a_run_resumes_where_it_stopped(old_run, name, learners):
    directory = old_run(name)
    before = latest_checkpoint(directory / "checkpoints").state
    resume(directory, "stop.iterations=4", "evaluation.anchors=[]", "runtime.num_env_runners=0")
    after = latest_checkpoint(directory / "checkpoints").state
    assert (before.iteration, after.iteration) == (3, 4) and len(after.totals) == learners
    assert after.counters.env_steps == before.counters.env_steps + 2048
    # The pool of the old run is the beginning of the new one, byte for byte.
    assert after.snapshots[: len(before.snapshots)] == before.snapshots

"""Runs made by earlier releases resume and play.

Of 0.1.0, before folders and classes were renamed: `alphastar.tar.gz`: +experiment=alphastar +debug=smoke
env=tic_tac_toe model.hidden=[8] evaluation.games=4, three iterations, four learners; `qmix.tar.gz`: +experiment=qmix
+debug=smoke. Of 0.2.0, before observations with large bounds were scaled: `pursuit.tar.gz`: +experiment=mappo
+debug=smoke env=pettingzoo env.name=pettingzoo.sisl.pursuit_v5 model.hidden=[8], with observations in [0, 12]. Their
newest checkpoints, without tb/.
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest

import marl_app
from marl_app.config.compose import compose_job, to_config
from marl_app.config.resume import expand
from marl_app.players.encoding import difference
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
@pytest.mark.parametrize(("name", "learners", "steps"), [("alphastar", 4, 2048), ("qmix", 1, 2048), ("pursuit", 1, 64)])
def test_a_run_resumes_where_it_stopped(old_run, name, learners, steps):
    directory = old_run(name)
    before = latest_checkpoint(directory / "checkpoints").state
    resume(directory, "stop.iterations=4", "evaluation.anchors=[]", "runtime.num_env_runners=0")
    after = latest_checkpoint(directory / "checkpoints").state
    assert (before.iteration, after.iteration) == (3, 4) and len(after.totals) == learners
    assert after.counters.env_steps == before.counters.env_steps + steps
    # The pool of the old run is the beginning of the new one, byte for byte.
    assert after.snapshots[: len(before.snapshots)] == before.snapshots
    # The same networks, also of observations with large bounds, which new runs scale.
    metadata = [marl_app.load_agent(directory, player).metadata for player in (None, before.snapshots[0].player.id)]
    assert difference(*metadata) is None

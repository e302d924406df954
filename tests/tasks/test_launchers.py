"""Hydra's launchers run the jobs of a sweep in other processes: joblib, and submitit's local executor."""

import json
import subprocess
import sys

import pytest

SMALL = (
    "+experiment=self_play env=rock_paper_scissors stop.iterations=2 runtime.num_env_runners=0 runtime.num_cpus=1 "
    "runtime.num_envs_per_env_runner=16 algorithm.train_batch_size_per_learner=256 algorithm.minibatch_size=128 "
    "model.hidden=[16] evaluation.games=10 evaluation.anchors=[random]"
)


@pytest.mark.slow  # every job is a process, and starts Ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_two_runs_at_the_same_time(launcher, tmp_path):
    folder = f"hydra.sweep.dir={tmp_path}"
    command = [sys.executable, "-m", "marl_app", "-m", *SMALL.split(), "seed=1,2", f"hydra/launcher={launcher}", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in ("0_seed=1", "1_seed=2"):
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert (summary["status"], summary["env_steps"]) == ("finished", 512)

"""The Python of docs/rllib.md runs as it stands there, as one script, with smaller numbers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rllib.md"
SMALLER = {
    "num_env_runners=1, num_envs_per_env_runner=256": "num_env_runners=0, num_envs_per_env_runner=32",
    ".environment(TicTacToe)": ".environment(TicTacToe).env_runners(num_env_runners=0)",
    "normalize_values=True)": "normalize_values=True, train_batch_size_per_learner=512, minibatch_size=128)",
    "evaluation_interval=10, evaluation_duration=200": "evaluation_interval=1, evaluation_duration=4",
    "num_samples=4": "num_samples=2",
    "perturbation_interval=20": "perturbation_interval=2",
    '"training_iteration": 200': '"training_iteration": 4',
    "checkpoint_frequency=20": "checkpoint_frequency=2",
}


@pytest.mark.slow
@pytest.mark.timeout(900)  # Tune starts and restarts trials, each a process
def test_the_page_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = "\n".join([*blocks, "print(result['training_iteration'], best.iteration, best.config.lr)", "best.stop()"])
    for text, smaller in SMALLER.items():
        assert script.count(text) == 1, text
        script = script.replace(text, smaller)
    (tmp_path / "script.py").write_text(script)
    # Tune writes to ~/ray_results.
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True,
        text=True, timeout=850,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, best, lr = done.stdout.split("\n")[-2].split()
    assert (first, best) == ("1", "4") and 1e-6 < float(lr) < 2e-2

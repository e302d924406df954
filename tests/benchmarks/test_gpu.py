"""The GPU benchmark runs without a GPU, and its variants compose; speed is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed with the app

from benchmarks.gpu import NETWORKS, NO_GPU, make_variants, parse, shared_overrides, table  # noqa: E402
from benchmarks.settings import Settings  # noqa: E402
from marl_app.config import runtime_section  # noqa: E402
from marl_app.config.machine import Machine  # noqa: E402


@pytest.mark.parametrize("network", NETWORKS)
def test_the_variants_of_a_machine_with_a_gpu_compose(network, monkeypatch):
    monkeypatch.setattr(runtime_section, "this_machine", lambda: Machine(16, gpus=1))
    variants = make_variants(cores=16, gpus=True)
    settings = Settings(**NETWORKS[network])
    shared = (*shared_overrides(settings), "runtime.num_cpus=20")
    configs = {name: settings.config(*entry.overrides, *shared) for name, entry in variants.items()}
    found = {name: (config.runtime.num_learners, config.runtime.num_env_runners) for name, config in configs.items()}
    # One core is left to the learner; two learners share an even number of env runners; the GPU holds five of them.
    assert found == {"cpu": (1, 15), "gpu": (1, 15), "all_on_gpu": (1, 5), "two_learners": (2, 14)}
    for name, config in configs.items():
        runtime = config.runtime
        used = runtime.num_learners * runtime.num_gpus_per_learner
        assert used + runtime.num_env_runners * runtime.num_gpus_per_env_runner <= 1, name


def test_variants_that_were_not_measured_say_why():
    rows = table({"contestants": {}}, ["2x64"], make_variants(cores=2, gpus=True))
    assert [row[2] for row in rows[1:]] == [NO_GPU] * 4


def test_only_a_whole_run_may_write_the_page():
    with pytest.raises(SystemExit):
        parse(["--write-docs", "--networks", "2x64"])


@pytest.mark.slow
def test_a_quick_run_without_a_gpu(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--networks", "2x64,cnn", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (file,) = tmp_path.glob("*.json")
    found = json.loads(file.read_text())
    assert {"2x64 cpu", "cnn cpu"} <= found["contestants"].keys()
    assert all(min(entry["learning"]["trained_agent_steps_per_s"]) > 0 for entry in found["contestants"].values())
    assert found["league"]["status"] == "finished" and "gpu" in found["machine"]

"""The scaling benchmark runs, and the sizes that it reports are those of the game; speed is not tested."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed with the app

from benchmarks.scaling import Variant, input_sizes, make_variants  # noqa: E402
from benchmarks.settings import settings_for  # noqa: E402
from marl_app.config.machine import available_cores  # noqa: E402


@pytest.mark.slow
def test_a_quick_run_varies_the_agents(tmp_path):
    command = [sys.executable, "-m", "benchmarks.scaling", "--quick", "--results", str(tmp_path)]
    command += ["--algorithms", "ippo", "--env-runners", "1", "--agents", "3,6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (file,) = tmp_path.glob("*.json")
    three, six = json.loads(file.read_text())["contestants"].values()
    rows = settings_for("simple_spread", quick=True).rows
    for entry, agents in ((three, 3), (six, 6)):
        assert entry["variant"] == {"algorithm": "ippo", "env_runners": 1, "agents": agents} | input_sizes(agents)
        assert entry["facts"]["rows_per_env_step"] == agents  # all agents act in every step
        assert entry["facts"]["rows_per_update"] == agents * rows
        assert min(entry["learning"]["trained_agent_steps_per_s"]) > 0
    # The first layers of policy and critic, 64 wide, have 6 more inputs per additional agent; the rest is the same.
    assert six["facts"]["parameters"] - three["facts"]["parameters"] == 2 * 64 * 6 * 3


def test_env_runners_and_agents_are_varied_one_at_a_time():
    assert [variant[1:] for variant in make_variants("mappo", [1, 2, 4], [3, 6])] == [(1, 3), (2, 3), (4, 3), (1, 6)]


def test_more_env_runners_than_cores_are_configured_as_a_user_would():
    many = available_cores() + 2
    settings = replace(settings_for("simple_spread"), rows=4096 * many)
    runtime = settings.config(*Variant("ippo", many, 3).entry.overrides).runtime
    assert (runtime.num_env_runners, runtime.num_cpus) == (many, many)
    assert settings.config(*Variant("ippo", 1, 3).entry.overrides).runtime.num_cpus is None


def test_observation_and_state_grow_with_the_agents():
    assert input_sizes(3) == {"observation": 18, "state": 54}
    assert input_sizes(12) == {"observation": 72, "state": 864}

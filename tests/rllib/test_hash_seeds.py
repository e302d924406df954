"""The same seed is the same run in every process, whatever its hash seed: no order comes from a set of strings.

One process has one hash seed, so a test that compares two runs in one process cannot notice such an order.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.rllib.runs import running

ROOT = Path(__file__).resolve().parents[2]
# Runs with several networks, whose initial weights are drawn one after the other.
KINDS = {
    "alphastar": ("+experiment=alphastar", "env=tic_tac_toe", "league.turn=1"),
    "independent": ("env=simple_spread", "policies=independent", "league/matchmaker=latest", "algorithm=ippo"),
    "per_role": ("env=simple_tag", "policies=per_role", "algorithm=mappo"),
    "pool_per_side": ("+experiment=pool_per_side", "env=tic_tac_toe"),
}


def digests(folder):
    """{kind: digest of the weights of all learners after five iterations}."""
    found = {}
    for kind, overrides in KINDS.items():
        base = [line for line in overrides if line.startswith("+experiment")]
        settings = [line for line in SETTINGS if not (base and line.startswith(("+experiment", "league/")))]
        with running(folder / kind, *base, *settings, *overrides[len(base) :], base=()) as algorithm:
            for _ in range(5):
                algorithm.train()
            digest = hashlib.sha256()
            for learner in sorted(algorithm.totals):
                for name, values in sorted(algorithm.weights.read(learner).items()):
                    digest.update(name.encode() + values.tobytes())
            found[kind] = digest.hexdigest()
    return found


SETTINGS = (
    "+experiment=league",
    "stop.minutes=null",
    "model.hidden=[16]",
    "model.precision=float32",
    "algorithm.train_batch_size_per_learner=200",
    "algorithm.minibatch_size=100",
    "league.schedule.agent_steps=500",
    "runtime.num_cpus=4",
    "runtime.num_env_runners=0",
    "runtime.num_envs_per_env_runner=8",
    "runtime.pipeline=false",
    "callbacks=[league]",
)


def test_two_processes_with_different_hash_seeds_train_the_same_weights(tmp_path):
    command = [sys.executable, "-m", "tests.rllib.test_hash_seeds", str(tmp_path / "other")]
    # One of these two is not the hash seed of this process, which may be random or given.
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": other, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert process.returncode == 0, process.stderr[-3000:]
    assert json.loads(process.stdout.splitlines()[-1]) == digests(tmp_path / "here")


if __name__ == "__main__":
    print(json.dumps(digests(Path(sys.argv[1]))))

"""Env runners in other processes: staleness of weights, reproducibility by seed, and faults."""

import copy
import os
import signal
import time

import numpy as np
import pytest
import torch

from marl_app.rllib.training.sampler import NoProgress
from tests.rllib.runs import equal, matches, running, watch

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(240)]

ONE = ("runtime.num_env_runners=1", "runtime.env_runner_restart_delay_s=0")


def faulty(folder, game="Faulty"):
    """Return overrides that choose a game of tests/rllib/games.py whose faults are files in `folder`."""
    return (
        "env=rock_paper_scissors", f"env._target_=tests.rllib.games.{game}", "~env.payoff", f"+env.folder={folder}"
    )  # fmt: skip


def pids(algorithm):
    return algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)


def logp(algorithm, weights, batch):
    """Return the log-probabilities of a batch's actions under the given weights of the learner."""
    module = copy.deepcopy(algorithm.learner_group._learner.module["main"])
    module.load_state_dict({name.partition("/")[2]: torch.from_numpy(value) for name, value in weights.items()})
    with torch.no_grad():
        inputs, _ = module.act(torch.from_numpy(batch["obs"]))
    dist = module.get_train_action_dist_cls().from_logits(inputs)
    return dist.logp(torch.from_numpy(batch["actions"])).numpy()


@pytest.mark.parametrize("pipeline", [True, False])
def test_staleness_of_the_weights_of_a_batch(tmp_path, pipeline):
    """One update with the pipeline (from the second batch on), none without; the log-probabilities confirm it."""
    overrides = (*ONE, f"runtime.pipeline={pipeline}", "algorithm.lr=0.05", "league/matchmaker=latest")
    with running(tmp_path, "env=rock_paper_scissors", *overrides) as algorithm:
        fragments = watch(algorithm, "on_fragment")
        versions = [algorithm.weights.read("main")]
        for _ in range(6):
            algorithm.train()
            versions.append(algorithm.weights.read("main"))
            staleness = algorithm.report["staleness/updates"]
            assert staleness == (1 if pipeline and algorithm.iteration > 1 else 0)
            assert algorithm.report["steps/env_steps"] == 512 * algorithm.iteration
        for updates, arguments in enumerate(fragments):
            fragment = arguments["fragment"]
            assert fragment.weights_version == (max(0, updates - 1) if pipeline else updates)
            batch = fragment.batches["player"]
            for version, weights in enumerate(versions[: updates + 1]):
                same = np.allclose(logp(algorithm, weights, batch), batch["action_logp"], atol=1e-5)
                assert same == (version == fragment.weights_version)


def test_the_same_seed_gives_the_same_league(tmp_path):
    """Two runs with the same seed, pipeline=false and one env runner give the same records; another seed does not."""
    ends = []
    for name, seed, iterations in (("a", 3, 8), ("b", 3, 8), ("c", 4, 3)):
        overrides = ("env=tic_tac_toe", "league/matchmaker=latest_pfsp", "runtime.opponent_slots=2", f"seed={seed}")
        with running(tmp_path / name, *ONE, *overrides) as algorithm:
            for _ in range(iterations):
                algorithm.train()
            state = algorithm.run_state().to_json()
            seconds = state["counters"].pop("seconds")
            assert seconds > 0
            ends.append((state, algorithm.weights.read("main"), algorithm.league.snapshots))
        ends[-1] += (matches(tmp_path / name),)
    (state, weights, pool, records), again, other = ends
    assert len(pool) >= 3 and len(records) > 20
    assert state == again[0]  # counters, league with payoff, RNG
    assert equal(weights, again[1])
    assert pool == again[2]  # digests included
    assert records.equals(again[3])
    assert not records[records.iteration <= 3].reset_index(drop=True).equals(other[3])


@pytest.fixture(scope="module")
def faulty_run(ray_here, tmp_path_factory):
    """A run with a single env runner, and the file that names the fault of its game (see games.Faulty)."""
    folder = tmp_path_factory.mktemp("faulty")
    overrides = (*ONE, "runtime.pipeline=true", "runtime.no_progress_timeout_s=60")
    with running(folder, *faulty(folder), *overrides) as algorithm:
        yield algorithm, folder / "fault"


@pytest.fixture
def faults(faulty_run):
    """(algorithm, fault file) after an iteration without a fault: a process is started once for all faults."""
    algorithm, fault = faulty_run
    fault.unlink(missing_ok=True)
    algorithm.train()
    return algorithm, fault


def test_a_run_survives_a_raise_and_a_kill_of_its_only_env_runner(faults):
    algorithm, fault = faults
    algorithm.train()
    failures, restarts = algorithm.counters.failures, algorithm.counters.restarts

    fault.write_text("raise_once")
    steps = algorithm.counters.env_steps
    while fault.exists():  # the pipeline's running request may end before the fault
        algorithm.train()
    algorithm.train()
    assert algorithm.report["health/failures"] == failures + 1
    assert algorithm.report["health/env_runner_restarts"] == restarts
    assert algorithm.counters.env_steps >= steps + 512

    [pid] = pids(algorithm)
    os.kill(pid, signal.SIGKILL)
    began, iterations = time.monotonic(), algorithm.iteration
    for _ in range(3):
        algorithm.train()
    assert time.monotonic() - began < 60  # most of it is Python's imports in the new process
    assert algorithm.report["health/env_runner_restarts"] == restarts + 1
    assert pids(algorithm) != [pid]
    assert algorithm.iteration == iterations + 3
    # Steps of a lost fragment are not counted, and every iteration has its steps.
    assert algorithm.counters.env_steps == 512 * algorithm.iteration


def test_a_game_that_always_raises_ends_the_run_with_its_traceback(faults):
    algorithm, fault = faults
    fault.write_text("raise")
    began = time.monotonic()
    with pytest.raises(NoProgress, match="the simulation exploded") as stopped:
        for _ in range(5):
            algorithm.train()
    assert "games.py" in str(stopped.value) and "raised 3 times in a row" in str(stopped.value)
    assert time.monotonic() - began < 30
    assert np.isfinite(algorithm.report["learner/policy_loss"])


def test_a_game_that_cannot_be_made_again_ends_the_run_with_its_traceback(faults):
    algorithm, fault = faults
    fault.write_text("broken")
    began = time.monotonic()
    with pytest.raises(NoProgress, match="the simulation cannot be made"):
        for _ in range(5):
            algorithm.train()
    assert time.monotonic() - began < 30


def test_an_env_runner_that_hangs_or_cannot_be_started_ends_the_run_with_the_reason(faults, monkeypatch):
    """The last test with this process, which does not return from its step."""
    algorithm, fault = faults
    [pid] = pids(algorithm)
    assert algorithm._sampler._timeout_s == 60  # runtime.no_progress_timeout_s
    monkeypatch.setattr(algorithm._sampler, "_timeout_s", 4)
    fault.write_text("hang")
    began = time.monotonic()
    with pytest.raises(NoProgress, match=r"no experience for 4 s.*may hang"):
        for _ in range(5):
            algorithm.train()
    assert 4 <= time.monotonic() - began < 15

    # Ray starts the process again, and the constructor of its environment raises: it never answers.
    monkeypatch.setattr(algorithm._sampler, "_timeout_s", 1000)
    fault.write_text("broken")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(NoProgress, match=r"no env runner could be started: (.|\n)*the simulation cannot be made"):
        algorithm.train()


@pytest.mark.slow
def test_batches_with_a_slow_env_runner_are_whole_and_on_policy(tmp_path):
    """Two env runners, one with 1.6 s per fragment: batches have the configured size and are on-policy."""
    game = faulty(tmp_path, "Uneven")
    two = ("runtime.num_env_runners=2", "runtime.num_envs_per_env_runner=16", "runtime.env_runner_restart_delay_s=0")
    with running(tmp_path, *game, *two) as algorithm:
        for _ in range(4):
            algorithm.train()
            assert algorithm.stats.env_steps == 512
            assert algorithm.stats.staleness == 0

        # The fast env runner is killed: the slow one goes on alone until the other is restarted.
        slow, *_ = (tmp_path / "slow").read_text().splitlines()
        [fast] = set(pids(algorithm)) - {int(slow)}
        os.kill(fast, signal.SIGKILL)
        began = time.monotonic()
        while not algorithm.counters.restarts:
            algorithm.train()
            assert algorithm.stats.env_steps == 512
            assert time.monotonic() - began < 60
        assert algorithm.counters.env_steps == 512 * algorithm.iteration

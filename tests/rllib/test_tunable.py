"""The algorithm as users of RLlib and Tune call it: configured by methods, saved, restored, evaluated, tuned."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from ray import tune
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining

import marl_app
from marl_app.config.errors import ConfigError
from marl_app.envs.matrix_game import MatrixGame
from marl_app.rllib.ppo.algorithm import LeaguePPO, LeaguePPOConfig
from marl_app.rllib.team_q.algorithm import TeamQConfig
from marl_app.rllib.training.tunable_algorithm import add_nested
from tests.rllib.runs import equal

pytestmark = pytest.mark.usefixtures("ray_here")

RPS = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
KEYS = {"model.hidden": [8], "league.schedule.agent_steps": 100, "evaluation.anchors": ["random"]}
"""A snapshot after every update of 128 matches of one step."""


def config(folder=None, **training):
    """Return the configuration of a tiny run, as an RLlib user writes it."""
    return (
        LeaguePPOConfig()
        .environment("rock_paper_scissors")
        .training(train_batch_size_per_learner=128, minibatch_size=64, **training)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=16)
        .evaluation(evaluation_interval=2, evaluation_duration=8)
        .league({**KEYS, "runtime.pipeline": False}, run_dir=None if folder is None else str(folder))
    )


def test_train_save_restore_and_evaluate_by_rllibs_methods(tmp_path):
    algorithm = config(tmp_path / "run", lr=0.01, huber_delta=2.0).build_algo()
    assert algorithm.config.lr == 0.01 and algorithm.spec.settings.algorithm.huber_delta == 2.0
    assert algorithm.config.gamma == 0.99  # as in conf/algorithm/ppo.yaml

    # Before there is a snapshot or an evaluation the metrics exist, as Tune requires, and are NaN.
    result = algorithm.train()
    assert math.isnan(result["league"]["elo"]) and math.isnan(result["evaluation"]["random"]["sampled"]["score"])
    assert result["league"]["pool_size"] == 0 and not result["done"]
    # The second iteration is evaluated: eight matches of one step.
    result = algorithm.train()
    assert result["training_iteration"] == 2 and result["num_env_steps_sampled_lifetime"] == 256
    assert result["env_runners"]["episode_len_mean"] == 1.0 and result["league"]["pool_size"] == 1
    score = result["evaluation"]["random"]["sampled"]
    assert 0 <= score["low"] <= score["score"] <= score["high"] <= 1
    # The third is not, and repeats what is known.
    result = algorithm.train()
    assert result["evaluation"]["random"]["sampled"] == score and "greedy" not in result["evaluation"]["random"]
    assert math.isfinite(result["league"]["elo"]) and math.isfinite(result["league"]["win_rate"]["pool"])
    assert result["config"]["lr"] == 0.01 and result["config"]["env"] == "rock_paper_scissors"
    assert set(algorithm.evaluate()["random"]) == {"sampled", "greedy"}

    saved = algorithm.save_to_path(tmp_path / "saved")
    weights, pool = algorithm.weights.read("main"), [snapshot.digest for snapshot in algorithm.league.snapshots]
    algorithm.stop()
    assert not list((tmp_path / "saved").rglob("*.pkl"))  # nothing that runs code when it is read
    shutil.rmtree(tmp_path / "run")  # the checkpoint stands alone

    agent = marl_app.load_agent(saved, player="main@0000")
    assert agent.probabilities([0.0]).sum() == pytest.approx(1)
    restored = LeaguePPO.from_checkpoint(saved, run_dir=str(tmp_path / "second"))
    assert restored.iteration == 3 and restored.config.lr == 0.01
    assert equal(restored.weights.read("main"), weights)
    assert [snapshot.digest for snapshot in restored.league.snapshots] == pool
    assert all(restored.store.has(digest) for digest in pool)
    assert restored.train()["num_env_steps_sampled_lifetime"] == 512
    # Back to the checkpoint, in the same object.
    restored.restore_from_path(saved)
    assert restored.iteration == 3 and equal(restored.weights.read("main"), weights)
    restored.stop()


def test_an_exploited_trial_continues_the_other_one_with_its_own_learning_rate(tmp_path):
    # What Tune does in population based training: save one trial, make another, restore it there.
    donor = LeaguePPO(config(tmp_path / "donor", lr=0.01).to_dict())
    for _ in range(2):
        donor.train()
    checkpoint = donor.save(str(tmp_path / "saved"))
    weights = donor.weights.read("main")
    heir = LeaguePPO({**config(tmp_path / "heir", lr=0.01).to_dict(), "lr": 0.002})
    heir.restore(checkpoint)
    assert equal(heir.weights.read("main"), weights)
    result = heir.train()
    assert result["training_iteration"] == 3 and result["learner"]["learning_rate"] == 0.002
    for algorithm in (donor, heir):
        algorithm.stop()


def test_a_class_of_a_script_is_an_environment(tmp_path):
    class Own(MatrixGame):  # not importable by its path
        pass

    asked = config(tmp_path).environment(Own, env_config={"payoff": RPS})
    algorithm = asked.build_algo()
    assert algorithm.train()["num_env_steps_sampled_lifetime"] == 128
    saved = algorithm.save_to_path(tmp_path / "saved")
    algorithm.stop()
    with pytest.raises(ConfigError, match="^env._target_=.* has no Own"):
        LeaguePPO.from_checkpoint(saved, run_dir=str(tmp_path / "second"))
    restored = LeaguePPO.from_checkpoint(saved, config=asked.league(run_dir=str(tmp_path / "third")))
    assert restored.iteration == 1
    restored.stop()


def test_the_other_algorithms_are_rllib_algorithms_too(tmp_path):
    asked = TeamQConfig().environment("two_step").env_runners(num_env_runners=0, num_envs_per_env_runner=32)
    asked.league({"league/matchmaker": "latest", "model.hidden": [8], "evaluation.anchors": []}, run_dir=str(tmp_path))
    algorithm = asked.build_algo()
    assert algorithm.train()["num_env_steps_sampled_lifetime"] == asked.filled().train_batch_size_per_learner
    algorithm.stop()


class Counts(RLlibCallback):
    """A callback of RLlib that runs in the algorithm's process."""

    def on_train_result(self, *, result, **kwargs):
        result["mine"] = result["training_iteration"]


class Looks(RLlibCallback):
    """A callback of RLlib that needs RLlib's env runner."""

    def on_episode_end(self, **kwargs):
        pass


def test_a_callback_of_rllib_is_called(tmp_path):
    algorithm = config(tmp_path).callbacks(Counts).build_algo()
    assert algorithm.train()["mine"] == 1
    algorithm.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: LeaguePPOConfig(), "env is missing: add .environment"),
        (lambda c: c.environment("connect_five"), "env=connect_five: unknown option. Did you mean connect_four"),
        (lambda c: c.environment("no.such.Class"), "env._target_=no.such.Class: the module no.such does not exist"),
        (
            lambda c: c.environment(env_config={"sides": 2}),
            "env.sides: MatrixGame has no such argument; it takes payoff",
        ),
        (lambda c: c.training(hubber_delta=1), "algorithm.hubber_delta: unknown key.*huber_delta"),
        (lambda c: c.training(lr=-1), "algorithm.lr=-1 is not allowed: give a value >"),
        (lambda c: c.league({"league.pool": 3}), "league.pool: unknown key"),
        (lambda c: c.rl_module(model_config={"fcnet_hiddens": [8]}), "model_config: settings of RLlib without"),
        (
            lambda c: c.env_runners(sample_timeout_s=1, batch_mode="complete_episodes"),
            "batch_mode, sample_timeout_s: settings of",
        ),
        (lambda c: c.callbacks(on_train_result=print), "callbacks_on_train_result: settings of RLlib without"),
        (lambda c: c.callbacks(Looks), "callbacks: Looks.on_episode_end is for RLlib's env runner"),
        (lambda c: c.evaluation(evaluation_num_env_runners=3), "evaluation_num_env_runners: one process evaluates"),
        (lambda c: c.env_runners(num_envs_per_env_runner=7), "train_batch_size_per_learner=128 is not a multiple of 7"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(change, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as error:
        change(config(tmp_path)).build_algo()
    assert str(error.value).count("\n") <= 1  # a list of options is a second line


def test_checkpoints_are_whole_and_local(tmp_path):
    algorithm = config(tmp_path / "run").build_algo()
    with pytest.raises(ConfigError, match="holds no whole checkpoint of marl_app"):
        algorithm.restore_from_path(tmp_path)
    with pytest.raises(ConfigError, match="give a local directory"):
        algorithm.save_to_path("s3://bucket/x")
    with pytest.raises(ConfigError, match="restore_from_path: component: not supported"):
        algorithm.restore_from_path(tmp_path, component="learner_group")
    with pytest.raises(ConfigError, match="use save_to_path"):
        algorithm.get_state()
    with pytest.raises(ConfigError, match="run_dir: .* is in use by process"):
        config(tmp_path / "run").build_algo()
    algorithm.stop()


def test_what_tune_receives_is_what_was_set_and_the_values_of_conf():
    asked = config(lr=tune.loguniform(1e-4, 1e-2)).league({"league.decay_per_game": tune.uniform(0.9, 1)})
    space = asked.to_dict()
    assert isinstance(space["lr"], tune.search.sample.Domain)
    assert space["entropy_coeff"] == 0.02 and space["gamma"] == 0.99  # conf/algorithm/ppo.yaml
    assert isinstance(space["league_keys"]["league.decay_per_game"], tune.search.sample.Domain)
    # Tune draws, and builds the configuration of a trial from the dictionary.
    space["lr"], space["league_keys"]["league.decay_per_game"] = 5e-5, 0.95  # 5e-5 is also RLlib's default
    trial = LeaguePPOConfig().update_from_dict(space)
    assert trial.settings_given()["algorithm.lr"] == 5e-5
    assert trial.settings_given()["league.decay_per_game"] == 0.95
    assert trial.to_dict() == space


def test_a_trial_occupies_the_cores_of_its_processes():
    names = {"env": "rock_paper_scissors", "league.pool_limit": 4, "magnet": "none"}
    # conf/runtime/local.yaml has one env runner.
    assert LeaguePPO.default_resource_request(names).bundles == [{"CPU": 1}, {"CPU": 1}]
    assert LeaguePPO.default_resource_request({**names, "num_env_runners": 0}).bundles == [{"CPU": 1}]


def test_a_limit_of_the_run_ends_the_trial(tmp_path):
    algorithm = config(tmp_path).league({"stop.env_steps": 256}).build_algo()
    assert [algorithm.train()["done"] for _ in range(2)] == [False, True]
    algorithm.stop()


def test_a_metric_that_is_also_a_section_is_its_entry_value():
    for names in (("a/b", "a/b/low"), ("a/b/low", "a/b")):
        result = {}
        add_nested(result, {name: float(len(name)) for name in names})
        assert result == {"a": {"b": {"value": 3.0, "low": 7.0}}}


def tuned(folder, name, scheduler, metric, samples, stop, **run):
    """Run Tune with two trials at a time, `samples` of each of two learning rates; return the results."""
    tuner = tune.Tuner(
        LeaguePPO,
        param_space=config(lr=tune.grid_search([1e-2, 1e-6])),
        tune_config=tune.TuneConfig(
            metric=metric, mode="max", scheduler=scheduler, num_samples=samples, max_concurrent_trials=2
        ),
        run_config=tune.RunConfig(name=name, storage_path=str(folder), stop=stop, verbose=0, **run),
    )
    return tuner.fit()


@pytest.mark.slow
@pytest.mark.timeout(900)  # every trial is a process, and each exploitation a new one
@pytest.mark.filterwarnings("ignore:Consider boosting PBT")
def test_population_based_training_of_two_trials(tmp_path):
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",  # the default counts seconds, of which this run has one
        perturbation_interval=4,
        hyperparam_mutations={"lr": tune.loguniform(1e-6, 1e-2)},
        quantile_fraction=0.5,
        synch=True,
    )
    often = tune.CheckpointConfig(checkpoint_frequency=4, checkpoint_at_end=True)
    results = tuned(
        tmp_path, "pbt", scheduler, "evaluation/random/sampled/score", 1, {"training_iteration": 8},
        checkpoint_config=often,
    )  # fmt: skip
    assert not results.errors and [result.metrics["training_iteration"] for result in results] == [8, 8]
    assert sorted(result.metrics["num_env_steps_sampled_lifetime"] for result in results) == [8 * 128, 8 * 128]
    # The worse half has taken over a copy of the better one, with another learning rate.
    assert {result.config["lr"] for result in results} != {1e-2, 1e-6}
    assert min(result.metrics["iterations_since_restore"] for result in results) < 8
    best = LeaguePPO.from_checkpoint(results.get_best_result().checkpoint, run_dir=str(tmp_path / "best"))
    assert best.iteration == 8
    best.stop()

    # The experiment is continued from its folder.
    again = tune.Tuner.restore(str(tmp_path / "pbt"), LeaguePPO)
    assert [result.metrics["training_iteration"] for result in again.fit()] == [8, 8]


@pytest.mark.slow
def test_asha_stops_trials_by_elo(tmp_path):
    """The learning rate of 1e-6 has the lower Elo after four iterations: its second trial stops, if not its first."""
    scheduler = ASHAScheduler(grace_period=2, max_t=8, reduction_factor=2)
    results = tuned(tmp_path, "asha", scheduler, "league/elo", 2, {})
    iterations = [result.metrics["training_iteration"] for result in results]
    assert not results.errors and max(iterations) == 8 and min(iterations) < 8


INTERRUPTED = """
import sys
import ray
from tests.rllib.test_tunable import LeaguePPO, config, tune
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
often = tune.CheckpointConfig(checkpoint_frequency=1)
run = tune.RunConfig(name="x", storage_path=sys.argv[1], stop={"training_iteration": 60}, checkpoint_config=often)
tune.Tuner(LeaguePPO, param_space=config(), run_config=run).fit()
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_tuner_continues_its_trial(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    environment = {**os.environ, "TUNE_GLOBAL_CHECKPOINT_S": "0"}  # the state of the experiment after each event
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        deadline = time.monotonic() + 500
        while not list(tmp_path.glob("x/*/checkpoint_000005")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    [result] = tune.Tuner.restore(str(tmp_path / "x"), LeaguePPO, resume_errored=True, restart_errored=False).fit()
    assert result.metrics["training_iteration"] == 60 and result.metrics["num_env_steps_sampled_lifetime"] == 60 * 128
    assert 0 < result.metrics["iterations_since_restore"] < 60

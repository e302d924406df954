"""Sweeps: the values of each key, what is refused, the names of the folders, and the search by Optuna."""

import math

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins.marl_app_optuna.sweeper import JOURNAL, RESULTS, OptunaSweeper, distribution_of
from marl_app.__main__ import prepare
from marl_app.config.compose import CommandLine
from marl_app.config.errors import ConfigError, RunFailedError

LOG = "algorithm.lr=tag(log,interval(1e-4,1e-2))"


def envs(line):
    """Return the environments of the jobs of a sweep."""
    return [job.env["_target_"].rpartition(".")[2] for job in CommandLine(line, multirun=True).jobs()]


def test_glob_takes_the_options_that_match():
    assert envs(["env=glob(t*)"]) == ["TicTacToe", "TwoStep"]
    assert envs(["env=glob(t*,exclude=two*)"]) == ["TicTacToe"]


def test_a_grid_is_checked_by_all_combinations_but_each_seed_once():
    """No other key depends on the seed: five seeds of nine schemes are 9 + 4 jobs, not 45."""
    line = CommandLine(["league/matchmaker=pfsp,uniform", "seed=1,2,3", "algorithm.gamma=0.9,1"], multirun=True)
    found = [
        (job.league.matchmaker["_target_"].rpartition(".")[2], job.algorithm.gamma, job.seed) for job in line.jobs()
    ]
    combined = [(matchmaker, gamma, 1) for matchmaker in ("Pfsp", "Uniform") for gamma in (0.9, 1)]
    assert found == [*combined, ("Pfsp", 0.9, 2), ("Pfsp", 0.9, 3)]


def test_a_search_is_checked_by_each_value_once_and_by_the_ends_of_its_intervals():
    line = ["hydra/sweeper=optuna", LOG, "league/matchmaker=pfsp,uniform", "seed=3"]
    # The first job has the first values; then one key changes at a time.
    jobs = CommandLine(line, multirun=True).jobs()
    found = [(job.algorithm.lr, job.league.matchmaker["_target_"].rpartition(".")[2], job.seed) for job in jobs]
    assert found == [(1e-4, "Pfsp", 3), (1e-2, "Pfsp", 3), (1e-4, "Uniform", 3)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([LOG], "an interval has no list of values: add hydra/sweeper=optuna"),
        (["env=glob(nothing*)"], "env=glob(nothing*): no option matches"),
        (["hydra/sweeper=optuna", "algorithm.lr=interval(-1,1)"], "algorithm.lr=-1.0 is not allowed"),
    ],
)
def test_what_cannot_be_swept_is_one_line(line, message):
    with pytest.raises(ConfigError) as error:
        prepare(["-m", *line])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_optuna_is_needed_only_for_its_sweeper(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "optuna" else object())
    prepare(["-m", "seed=1,2"])
    with pytest.raises(ConfigError, match="optuna is not installed: in the checkout, pip install"):
        prepare(["-m", "hydra/sweeper=optuna", LOG])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (["-m", "seed=1,2"], "seed=${seed}"),
        (["-m", "+experiment=league", "league/matchmaker=pfsp,uniform"],
         "matchmaker=${hydra.runtime.choices.league/matchmaker}"),
        (["-m", "+experiment=league,psro", "algorithm.lr=1e-3,1e-4"],
         "experiment=${hydra.runtime.choices.experiment},lr=${algorithm.lr}"),
        # Two keys that end with the same word keep their whole names.
        (["-m", "league.schedule.agent_steps=1,2", "+callbacks.x.agent_steps=3,4"],
         "league.schedule.agent_steps=${league.schedule.agent_steps},callbacks.x.agent_steps=${callbacks.x.agent_steps}"),
        # One seed on the command line in place of three in the file; a key with one value does not differ.
        (["+sweep=matchmakers", "seed=7"], "matchmaker=${hydra.runtime.choices.league/matchmaker}"),
        # A path would be a folder in a folder.
        (["-m", "task=evaluate", "run=a/b,c/d", "seed=1,2"], "seed=${seed}"),
    ],
)  # fmt: skip
def test_folders_say_what_differs(line, name):
    flags = [word for word in line if word == "-m"]
    [override] = CommandLine([word for word in line if word not in flags], multirun=bool(flags)).named_folders()
    assert override == f"hydra.sweep.subdir='${{hydra.job.num}}_{name}'"


def test_a_single_run_and_a_name_of_the_users_stay():
    assert CommandLine(["seed=1"], multirun=False).named_folders() == []
    assert CommandLine(["seed=1"], multirun=True).named_folders() == []
    assert CommandLine(["seed=1,2", "hydra.sweep.subdir=x"], multirun=True).named_folders() == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("interval(0,1.5)", optuna.distributions.FloatDistribution(0, 1.5)),
        ("tag(log,interval(1e-4,1e-2))", optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(interval(1,8))", optuna.distributions.IntDistribution(1, 8)),
        ("tag(int,log,interval(1,64.5))", optuna.distributions.IntDistribution(1, 64, log=True)),
        ("range(16,65,16)", optuna.distributions.IntDistribution(16, 64, step=16)),
        ("range(0,1,0.5)", optuna.distributions.CategoricalDistribution(["0.0", "0.5"])),
        ("choice(pfsp,uniform)", optuna.distributions.CategoricalDistribution(["pfsp", "uniform"])),
        ("[64],[64,64]", optuna.distributions.CategoricalDistribution(["[64]", "[64,64]"])),
        ("null,0.5", optuna.distributions.CategoricalDistribution(["null", "0.5"])),
    ],
)
def test_distributions(value, expected):
    [override] = OverridesParser.create().parse_overrides([f"key={value}"])
    assert distribution_of(override) == expected


@pytest.mark.parametrize("value", ["tag(exp,interval(1,2))", "interval(2,1)", "tag(log,interval(0,1))"])
def test_intervals_that_mean_nothing_are_refused(value):
    [override] = OverridesParser.create().parse_overrides([f"key={value}"])
    with pytest.raises(ConfigError, match="key="):
        distribution_of(override)


class Launcher:
    """Returns -(x - 3)^2 for each job, and notes the jobs; run number 1 fails, number 2 measures nothing."""

    def __init__(self):
        self.jobs = {}

    def launch(self, overrides, initial_job_idx):
        self.jobs |= {initial_job_idx + place: job for place, job in enumerate(overrides)}
        return [self.result(initial_job_idx + place, job) for place, job in enumerate(overrides)]

    def result(self, number, job):
        values = dict(line.split("=") for line in job)
        result = JobReturn(status=JobStatus.FAILED if number == 1 else JobStatus.COMPLETED)
        result.return_value = ValueError("broken") if number == 1 else -((float(values["x"]) - 3) ** 2)
        if number == 2:
            result.return_value = math.nan
        return result


def search(folder, n_trials, launcher, n_jobs=1):
    """Return the best values of a search for x in [0, 10] in a folder."""
    sweeper = OptunaSweeper(
        n_trials, n_jobs, startup_trials=5, seed=0, params=OmegaConf.create({"x": "interval(0.0,10.0)"})
    )
    sweeper._launcher = launcher
    sweeper._config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    sweeper._context = type("Context", (), {"config_loader": None})
    sweeper.sweep(["seed=4"])
    return OmegaConf.load(folder / RESULTS)


def test_a_search_finds_the_maximum_and_goes_on_in_its_folder(tmp_path, capsys):
    first = Launcher()
    search(tmp_path, 10, first)
    assert sorted(first.jobs) == list(range(10)) and all(job[0] == "seed=4" for job in first.jobs.values())
    out = capsys.readouterr().out
    assert "run 1 of the search failed: broken" in out and "run 2 of the search failed: it returned no number" in out
    assert "best of 8 runs" in out
    # A process that was killed leaves a trial behind: it counts, and has failed.
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL)))
    optuna.load_study(study_name="marl_app", storage=storage).ask()
    # The same command with a larger number: new runs only, numbered on.
    second = Launcher()
    best = search(tmp_path, 40, second, n_jobs=2)
    assert sorted(second.jobs) == list(range(11, 41))[: len(second.jobs)] and len(second.jobs) == 29
    assert "goes on after 11 of 40 runs" in capsys.readouterr().out
    # TPE has found the maximum at 3: uniform draws would be within 0.2 of it once in 25 runs.
    assert abs(best.best_evaluated_params.x - 3) < 0.3
    near = [abs(float(job[1].partition("=")[2]) - 3) < 1 for number, job in second.jobs.items() if number >= 20]
    assert sum(near) > 0.4 * len(near)  # of uniform draws a fifth


def test_a_search_without_a_number_says_so(tmp_path):
    class Nothing(Launcher):
        """Returns nothing."""

        def result(self, number, job):
            return super().result(2, job)

    with pytest.raises(RunFailedError, match="has returned a number: see sweep.objective"):
        search(tmp_path, 3, Nothing())

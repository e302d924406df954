"""The command line as users run it, in a new process; the run is replaced by a printout of its configuration."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import marl_app

ROOT = Path(__file__).resolve().parents[2]

# `python -m marl_app`, but the run only prints its configuration; at exit, the heavy packages that were imported.
DRIVER = """
import atexit, dataclasses, json, runpy, sys, types
from marl_app.config.errors import ConfigError, RunFailedError
from marl_app.config.record import write_record

def run(config):
    if config.name == "late":
        raise ConfigError("env.sides: player_1 is on no side")
    if config.name == "stuck":
        raise RunFailedError("a learner process has died")
    if config.name == "broken":
        raise RuntimeError("the simulation exploded")
    write_record(config)
    print("RUN", json.dumps(dataclasses.asdict(config)))
    return 1.0

sys.modules["marl_app.run"] = types.ModuleType("marl_app.run")
sys.modules["marl_app.run"].run = run
heavy = {"ray", "torch", "gymnasium", "pettingzoo", "pyspiel", "scipy", "pandas"}
atexit.register(lambda: print("HEAVY", sorted(heavy & set(sys.modules))))
runpy.run_module("marl_app", run_name="__main__", alter_sys=True)
"""


def call(directory, *arguments, **environment):
    """The result of a command line that runs in `directory`; no heavy package was imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    environment.pop("MARL_RUNS", None)
    result = subprocess.run(
        [sys.executable, "-c", DRIVER, *arguments],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "HEAVY []" in result.stdout, result.stdout + result.stderr
    return result


def runs(result):
    """The configurations of the runs that a process started."""
    return [json.loads(line[4:]) for line in result.stdout.splitlines() if line.startswith("RUN ")]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--cfg", "job", "+experiment=league"], 0),
        (["+experiment=league", "algorithm.lrr=1"], 2),
        (["env=conect_four"], 2),
        (["algorithm.minibatch_size=100000"], 2),
        (["runtime.num_env_runners=100000"], 2),
    ],
    ids=str,
)
def test_answers_come_without_heavy_packages(arguments, code):
    result = call(ROOT, *arguments)
    assert result.returncode == code and "Traceback" not in result.stderr
    if code:
        assert result.stdout == "HEAVY []\n" and 1 <= len(result.stderr.splitlines()) <= 2


def test_help_lists_groups_options_and_how_to_use_them():
    result = call(ROOT, "--help")
    for text in (
        "python -m marl_app +experiment=league",
        "league/matchmaker: age_rank, ",
        "experiment: alphastar, ",
    ):
        assert text in result.stdout
    assert "resume=" in result.stdout and "_target_" not in result.stdout


def test_a_run_gets_a_directory_with_its_configuration(tmp_path):
    result = call(tmp_path, "+experiment=league", "seed=3")
    (config,) = runs(result)
    directory = Path(config["output_dir"])
    assert config["seed"] == 3 and directory.parent == tmp_path / "runs" / "league"
    assert (directory / ".hydra" / "config.yaml").is_file()


def test_a_wrong_value_leaves_no_run_directory(tmp_path):
    result = call(tmp_path, "+experiment=league", "seed=-1")
    assert (
        result.returncode == 2
        and result.stderr == "marl_app: seed=-1 is not allowed: give a value >= 0 and <= 4294967295\n"
    )
    assert not (tmp_path / "runs").exists()


def test_a_config_error_of_the_run_is_one_line(tmp_path):
    for flags in ([], ["-m"]):
        result = call(tmp_path, *flags, "name=late")
        assert result.returncode == 2 and result.stderr == "marl_app: env.sides: player_1 is on no side\n"


def test_any_other_exception_of_the_run_keeps_its_traceback(tmp_path):
    result = call(tmp_path, "name=broken")
    assert result.returncode == 1
    assert "Traceback" in result.stderr and "the simulation exploded" in result.stderr


def test_a_run_that_cannot_go_on_is_one_line_and_code_1(tmp_path):
    result = call(tmp_path, "name=stuck")
    assert (result.returncode, result.stderr) == (1, "marl_app: a learner process has died\n")


def test_a_failed_run_of_a_sweep_does_not_end_the_sweep(tmp_path):
    result = call(tmp_path, "-m", "name=stuck,fine")
    assert [run["name"] for run in runs(result)] == ["fine"]
    assert result.returncode == 1 and "a learner process has died" in result.stderr


def test_full_errors_on_request(tmp_path):
    result = call(tmp_path, "seed=-1", HYDRA_FULL_ERROR="1")
    assert result.returncode != 0 and "Traceback" in result.stderr


def test_multirun_runs_one_after_the_other(tmp_path):
    result = call(tmp_path, "-m", "+experiment=league", "league/matchmaker=uniform,latest", "seed=1,2")
    assert result.returncode == 0, result.stderr
    assert [config["seed"] for config in runs(result)] == [1, 2, 1, 2]
    assert len({config["output_dir"] for config in runs(result)}) == 4


def test_a_sweep_with_one_bad_job_runs_none(tmp_path):
    result = call(tmp_path, "-m", "+experiment=league", "seed=1,-2")
    assert result.returncode == 2 and runs(result) == []


def test_sweep_file_then_resume_of_one_of_its_runs(tmp_path):
    swept = call(tmp_path, "+experiment=league", "+sweep=seeds")
    assert [config["seed"] for config in runs(swept)] == [0, 1, 2]
    first = runs(swept)[1]["output_dir"]
    (config,) = runs(call(tmp_path, f"resume={first}", "stop.minutes=60"))
    assert (config["output_dir"], config["seed"], config["stop"]["minutes"]) == (first, 1, 60)


def test_resume_continues_in_the_same_directory_and_a_bad_value_changes_nothing(tmp_path):
    directory = runs(call(tmp_path, "+experiment=self_play", "seed=4"))[0]["output_dir"]
    before = (Path(directory) / ".hydra" / "config.yaml").read_text()
    assert call(tmp_path, f"resume={directory}", "algorithm.lr=-1").returncode == 2
    assert (Path(directory) / ".hydra" / "config.yaml").read_text() == before
    (config,) = runs(call(tmp_path, f"resume={directory}", "stop.iterations=5"))
    assert (config["name"], config["seed"], config["output_dir"]) == ("self_play", 4, directory)
    assert config["stop"]["iterations"] == 5 and config["resume"] == directory
    assert len(list((tmp_path / "runs" / "self_play").iterdir())) == 1


def test_a_refused_command_leaves_every_byte_of_a_run(tmp_path):
    # Another network, as `model.hidden=[32]`, is refused after the configuration has been composed and checked.
    directory = Path(runs(call(tmp_path, "+experiment=self_play"))[0]["output_dir"])

    def content():
        return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}

    before = content()
    assert len(before) >= 3
    assert call(tmp_path, f"resume={directory}", "name=late").returncode == 2
    assert call(tmp_path, "+experiment=league", "name=late", f"hydra.run.dir={directory}").returncode == 2
    assert content() == before
    # Accepted, the command is recorded.
    assert call(tmp_path, f"resume={directory}", "seed=5").returncode == 0
    assert content().keys() == before.keys() and content() != before


def test_a_run_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()  # also root cannot make a folder in a file
    result = call(tmp_path, f"hydra.run.dir={tmp_path}/file/run")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert f"marl_app: hydra.run.dir: {tmp_path}/file" in result.stderr and "give another directory" in result.stderr


def test_flags_may_be_anywhere(tmp_path):
    result = call(tmp_path, "+experiment=league", "--cfg", "job", "seed=11", "--package", "league")
    assert result.returncode == 0 and "main:\n    role: main_agent" in result.stdout


def test_settings_of_this_machine_are_not_in_git():
    assert "/conf/local/" in (ROOT / ".gitignore").read_text().splitlines()


def test_without_arguments_the_help_is_shown(tmp_path):
    result = call(tmp_path)
    assert result.returncode == 0 and "Usage:" in result.stdout and runs(result) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("flag", ["--help", "--version", "--cfg=job"])
def test_a_reader_that_leaves_early_is_no_error(flag):
    reader, writer = os.pipe()
    os.close(reader)  # as `| head` does, once it has its lines
    command = [sys.executable, "-m", "marl_app", flag]
    result = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_version_is_that_of_the_app(tmp_path):
    assert call(tmp_path, "--version").stdout.startswith(f"marl_app {marl_app.__version__} ")


def test_ray_is_announced_before_it_is_imported(tmp_path):
    assert call(tmp_path, "+experiment=league", "env=tic_tac_toe").stdout.startswith("starting Ray ...\nRUN ")
    assert call(tmp_path, "task=plan").stdout.startswith("RUN ")


def test_settings_that_the_environments_option_changes_are_told(tmp_path):
    league = call(tmp_path, "+experiment=league")
    assert "\nenv=connect_four also sets model=ntuple\n" in league.stdout
    out = call(tmp_path, "+experiment=self_play", "env=circle", "algorithm.lr=0.1", "model=gru").stdout
    # What the command line replaces is left out, and so are batch sizes.
    [line] = [line for line in out.splitlines() if line.startswith("env=")]
    assert line.startswith(
        "env=circle also sets model.hidden=[64, 64], algorithm.entropy_coeff=0.1, algorithm.num_epochs=4"
    )
    assert line.endswith("league.schedule.agent_steps=20000") and "lr=" not in line and "minibatch" not in line
    resumed = call(tmp_path, f"resume={runs(league)[0]['output_dir']}")
    assert "also sets" not in resumed.stdout  # nothing new


def test_a_sweep_ends_with_the_command_that_compares_its_runs(tmp_path):
    lines = call(tmp_path, "-m", "+experiment=league", "seed=1,2", "hydra.sweep.dir=my sweep, ä").stdout.splitlines()
    assert lines[-2] == "compare the runs:  python -m marl_app task=study 'run=my sweep, ä'"  # the last line is HEAVY
    assert (tmp_path / "my sweep, ä" / "1_seed=2").is_dir()


def test_directories_may_have_any_name(tmp_path):
    name = "my runs, äß 日本/(1) it's=x"
    folder = tmp_path / name
    (config,) = runs(call(tmp_path, "+experiment=league", f"hydra.run.dir=~/{name}", HOME=str(tmp_path)))
    assert config["output_dir"] == str(folder) and (folder / ".hydra").is_dir()
    (config,) = runs(call(tmp_path, f"resume=~/{name}", "stop.minutes=60", HOME=str(tmp_path)))
    assert config["output_dir"] == config["resume"] == str(folder) and config["stop"]["minutes"] == 60
    for task in ("evaluate", "exploit"):
        (config,) = runs(call(tmp_path, f"task={task}", f"run={name}"))
        assert config["run"] == name
    assert not (tmp_path / "~").exists()


def test_results_of_a_task_about_a_run_are_in_the_run(tmp_path):
    run = Path(runs(call(tmp_path, "+experiment=self_play"))[0]["output_dir"])
    for task in ("evaluate", "exploit", "report", "watch"):
        (config,) = runs(call(tmp_path, f"task={task}", f"run={run}"))
        assert Path(config["output_dir"]).parent == run / "evaluations" and config["output_dir"].endswith(f"_{task}")
    (config,) = runs(call(tmp_path, "task=report", f"run={run}", f"hydra.run.dir={tmp_path}/mine"))
    assert config["output_dir"] == f"{tmp_path}/mine"
    # A directory that cannot be written, also for root: a file is in its place.
    other = tmp_path / "other"
    shutil.copytree(run / ".hydra", other / ".hydra")
    (other / "evaluations").touch()
    result = call(tmp_path, "task=report", f"run={other}")
    assert result.returncode == 2 and "give another directory with hydra.run.dir=DIR" in result.stderr


def test_each_start_of_a_run_records_its_program(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "game.py").write_text("")
    git("add", "game.py")
    git("commit", "--quiet", "--message", "game")
    run = Path(runs(call(tmp_path, "+experiment=self_play"))[0]["output_dir"])
    (tmp_path / "game.py").write_text("changed")
    call(tmp_path, f"resume={run}")
    first, second = map(json.loads, (run / ".hydra" / "starts.jsonl").read_text().splitlines())
    commit = git("rev-parse", "HEAD")
    assert (first["project_commit"], second["project_commit"]) == (commit, f"{commit}+changes")
    assert first["marl_app"] == marl_app.__version__ and first["torch"] and first["cores"] >= 1

"""How runs end in practice: signals, closed pipes, kills, and a second process in the directory."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.runs.lock import RunInUseError, run_lock
from marl_app.tasks.train import STOP_SIGNALS, _stop_requests

ROOT = Path(__file__).resolve().parents[2]


def python(code, *arguments, **settings):
    """The finished process of some code."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, text=True, timeout=60, **pipes)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_requests_a_stop_and_the_second_interrupts(number, capsys):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), _stop_requests() as stop:
        os.kill(os.getpid(), number)
        assert stop["requested"] and stop["signal"] == number
        assert "stopping after this iteration" in capsys.readouterr().out
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_while_a_run_ends_the_first_signal_interrupts():
    with pytest.raises(KeyboardInterrupt), _stop_requests() as stop:
        stop["ending"] = True  # the last evaluation may never end
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_exit_codes_are_those_of_the_shell(number, code):
    driver = f"""
import sys, types
def run(config):
    raise KeyboardInterrupt({int(number)})
sys.modules["marl_app.run"] = types.ModuleType("marl_app.run")
sys.modules["marl_app.run"].run = run
sys.argv = ["marl_app", "hydra.run.dir=" + sys.argv[1]]
from marl_app.__main__ import command_line
command_line()
"""
    assert python(driver, "/tmp").returncode == code


PRINTS = """
import sys, time
from marl_app.lasting_stream import LastingStream
sys.stdout = LastingStream(sys.stdout)
for number in range(2000):
    print("line", number, flush=True)
    time.sleep(0.0002)
open(sys.argv[1], "w").write("the run went on")
"""


def test_output_outlasts_its_reader(tmp_path):
    # As `python -m marl_app ... | head -1`: the pipe is closed while the run goes on.
    command = f"{sys.executable} -c '{PRINTS}' {tmp_path}/end | head -1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (tmp_path / "end").read_text() == "the run went on"
    assert (result.returncode, result.stdout, result.stderr) == (0, "line 0\n", "")


def test_output_outlasts_a_full_disk(tmp_path):
    with open("/dev/full", "w") as full:
        result = python(PRINTS, tmp_path / "end", stdout=full)
    assert (tmp_path / "end").read_text() == "the run went on"
    assert (result.returncode, result.stderr) == (0, "")


def test_a_directory_is_locked_against_a_second_process(tmp_path):
    code = """
import sys
import time
from pathlib import Path
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.runs.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("locked")
"""
    with run_lock(tmp_path):
        refused = python(code, tmp_path)
        assert refused.returncode == 1 and not refused.stdout
        assert f"{tmp_path} is in use by process {os.getpid()} on " in refused.stderr
        with pytest.raises(RunInUseError), run_lock(tmp_path):
            pass
    assert python(code, tmp_path).stdout == "locked\n"


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.runs.lock import run_lock
with run_lock(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(code, tmp_path).returncode == -signal.SIGKILL
    assert json.loads((tmp_path / ".lock").read_text())["pid"]  # what it wrote is still there
    with run_lock(tmp_path):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError), run_lock(tmp_path / "run"):
        pass
    assert (tmp_path / "mine").read_text() == "kept"


WATCHED = """
import os, signal, sys
from pathlib import Path
from marl_app.watch import watched
with watched(Path(sys.argv[1])):
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[2] == "exit":
        os._exit(1)  # as Ray ends a driver whose raylet has died
"""


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_a_process_that_ends_without_warning_gets_a_summary(tmp_path, end):
    line = {
        "seconds": 3.0,
        "iteration": 7,
        "steps/env_steps": 700,
        "steps/trained_agent_steps": 1400,
        "league/pool_size": 2,
    }
    (tmp_path / "progress.jsonl").write_text(json.dumps(line) + '\n{"seconds": 4.0, "iter')
    # The watcher inherits standard error: the pipe is closed when it has written its line.
    result = python(WATCHED, tmp_path, end)
    assert "ended without warning (killed, or Ray died); it has no checkpoint yet" in result.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["iterations"], summary["env_steps"]) == ("killed", 7, 700)


def test_a_process_that_ends_as_it_should_is_left_alone(tmp_path):
    result = python(WATCHED, tmp_path, "no")
    assert result.returncode == 0 and not result.stderr
    assert not (tmp_path / "summary.json").exists()


def started(folder, *arguments):
    """The process of a small league, in a process group of its own, once it has trained for two iterations."""
    small = (
        "env=tic_tac_toe", "model.hidden=[16]", "runtime.num_env_runners=0", "runtime.num_envs_per_env_runner=32",
        "algorithm.train_batch_size_per_learner=2048", "algorithm.minibatch_size=512", "evaluation.anchors=[]",
        "evaluation.every_iterations=null", "callbacks.metrics.every_seconds=0", "stop.minutes=5",
    )  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_BACKEND_LOG_LEVEL", None)  # of the session's Ray
    process = subprocess.Popen(
        [sys.executable, "-m", "marl_app", "+experiment=league", *small, f"hydra.run.dir={folder}", *arguments],
        cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    progress, began = folder / "progress.jsonl", time.monotonic()
    while not progress.exists() or progress.read_text().count("\n") < 2:
        assert process.poll() is None and time.monotonic() - began < 150
        time.sleep(0.1)
    return process


def of_run(process, program):
    """The processes of a run whose program has this name; Ray's raylet has the run's process as its parent.

    The name of an actor's process is that of its class, and of its method during a call.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().partition(b"\0")[0].decode()
            found[int(entry.name)] = (int((entry / "stat").read_text().rpartition(")")[2].split()[1]), line)
        except (OSError, ValueError):
            continue
    family = {process.pid}
    for _ in found:  # down the tree of processes
        family |= {number for number, (parent, _) in found.items() if parent in family}
    return [number for number in family if number in found and Path(found[number][1]).name.startswith(program)]


def test_a_signal_to_the_whole_process_group_loses_nothing(tmp_path):
    # A closed terminal (SIGHUP), a scheduler of a cluster or a spot machine (SIGTERM): the signal reaches every process
    # of the group, and would end Ray's before the run has saved.
    process = started(tmp_path / "run", "checkpoint.every_seconds=1000", "runtime.num_env_runners=1")
    os.killpg(process.pid, signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 129 and not err, err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    state = latest_checkpoint(tmp_path / "run" / "checkpoints").state
    last = json.loads((tmp_path / "run" / "progress.jsonl").read_text().splitlines()[-1])
    assert summary["status"] == "interrupted"
    assert summary["iterations"] == state.iteration == last["iteration"] >= 2
    assert f"continue it:  python -m marl_app resume={tmp_path / 'run'}" in out


@pytest.mark.slow  # tests/tasks/test_train.py kills it in the test's process, test_front_door.py has line and exit code
def test_a_dead_learner_process_ends_the_run_in_a_line(tmp_path):
    process = started(tmp_path / "run", "runtime.num_learners=1", "checkpoint.every_seconds=0.01")
    [learner] = of_run(process, "ray::MinibatchPPOLearner")
    os.kill(learner, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = [line for line in err.splitlines() if line.startswith("marl_app: ")]
    assert lines == ["marl_app: a learner process has died: killed, or out of memory"]
    assert "Traceback" not in err
    assert f"continue it:  python -m marl_app resume={tmp_path / 'run'}" in out and "process group" not in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    saved = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert summary["status"] == "failed" and summary["checkpoint"] == str(saved.path)
    # Each iteration is saved, but the learner may have died before the last checkpoint, which reads its weights.
    assert summary["iterations"] - saved.state.iteration in (0, 1)


@pytest.mark.parametrize("program", ["raylet", pytest.param("gcs_server", marks=pytest.mark.slow)])
def test_a_run_whose_ray_dies_says_how_to_go_on(tmp_path, program):
    # Ray ends the process of a run without its raylet at once, and without its GCS after a minute, in which the run
    # goes on. No code of the run is called; the process that watches it writes the summary.
    process = started(tmp_path / "run", "checkpoint.every_seconds=0.01")
    [number] = of_run(process, program)
    os.kill(number, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    saved = latest_checkpoint(tmp_path / "run" / "checkpoints")
    how = f"continue at iteration {saved.state.iteration} with python -m marl_app resume={tmp_path / 'run'}"
    assert process.returncode == 1 and f"ended without warning (killed, or Ray died); {how}" in err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "killed" and summary["checkpoint"] == str(saved.path)
    assert summary["iterations"] >= saved.state.iteration >= 1


@pytest.mark.slow  # tests/rllib/test_data_parallel.py kills a learner in the test's process
def test_a_run_of_two_learners_outlives_the_death_of_one(tmp_path):
    two = ("runtime.num_learners=2", "runtime.num_env_runners=0", "runtime.num_cpus=2")
    process = started(tmp_path / "run", *two, "checkpoint.every_seconds=0.01")
    learners = of_run(process, "ray::MinibatchPPOLearner")
    assert len(learners) == 2
    os.kill(max(learners), signal.SIGKILL)
    progress = tmp_path / "run" / "progress.jsonl"
    last = json.loads(progress.read_text().splitlines()[-1])["iteration"]
    deadline = time.monotonic() + 120
    while json.loads(progress.read_text().splitlines()[-1])["iteration"] < last + 5 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    lines = [json.loads(line) for line in progress.read_text().splitlines()]
    assert lines[-1]["iteration"] >= last + 5 and lines[-1]["health/env_runner_restarts"] == 1
    saved = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert saved.state.iteration == lines[-1]["iteration"]

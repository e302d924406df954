"""End to end: `python -m marl_app` in new processes that are started, interrupted, killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_app.config.compose import load
from marl_app.config.resume import expand
from marl_app.metrics.summary import KEYS
from marl_app.run import run as run_task
from marl_app.runs.checkpoints import latest_checkpoint

pytestmark = pytest.mark.timeout(280)

ROOT = Path(__file__).resolve().parents[2]
QUICK = (
    "algorithm.train_batch_size_per_learner=1024",
    "algorithm.minibatch_size=512",
    "runtime.num_envs_per_env_runner=64",
    "model.hidden=[32]",
    "league.schedule.agent_steps=1000",
)


STARTED = []  # processes of the test that runs


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Kill what a test that failed has left running; Ray ends with the process that started it."""
    yield
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    STARTED.clear()


def start(*arguments, **environment):
    """The process of the app, in a new process group as in a terminal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "marl_app", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    STARTED.append(process)
    return process


def finish(process, code=0):
    """(stdout, stderr) of a process, which must end with this exit code."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, out[-3000:] + err[-3000:]
    return out, err


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def check_books(folder):
    """Check that progress and match records have every iteration, and that the records match the league.

    Returns the state of the newest checkpoint.
    """
    progress, matches = pd.read_json(folder / "progress.jsonl", lines=True), pd.read_parquet(folder / "matches")
    state = latest_checkpoint(folder / "checkpoints").state.to_json()
    iterations = list(range(1, state["iteration"] + 1))
    counts = np.diff([0, *progress.iteration])  # a line of progress averages the iterations since the line before
    assert (counts > 0).all() and progress.iteration.iloc[-1] == state["iteration"]
    assert sorted(matches.iteration.unique()) == iterations
    assert progress["steps/env_steps"].tolist() == (1024 * progress.iteration).tolist()
    assert state["counters"]["env_steps"] == 1024 * len(iterations)
    assert matches[["wins", "draws", "losses"]].to_numpy().sum() == state["league"]["matches"]
    assert (counts * progress["learner/batch_rows"]).sum() == pytest.approx(state["counters"]["trained_agent_steps"])
    return state


def test_a_league_writes_all_its_files(tmp_path):
    folder = tmp_path / "run"
    # As at the first run of a user: Matplotlib has no cache of fonts yet.
    league = start("+experiment=league", "+debug=smoke", f"hydra.run.dir={folder}", MPLCONFIGDIR=str(tmp_path / "mpl"))
    out, err = finish(league)
    assert "Traceback" not in out and "\x1b" not in out  # no control characters in a pipe
    assert not err  # nothing of Ray's or of another library
    assert out.startswith("starting Ray ...\n") and "finished after" in out and str(folder) in out
    log = (folder / "marl_app.log").read_text()
    for text in ("froze main@0000", "against random: ", "finished after"):
        assert log.count(text) == out.count(text) == 1, text

    ended = summary(folder)
    assert set(KEYS) <= set(ended)
    assert ended["status"] == "finished" and ended["iterations"] == 3 and ended["env_steps"] == 3 * 2048
    assert ended["pool_size"] >= 1 and isinstance(ended["elo"], float)
    assert set(ended["anchors"]) == {"random", "mcts_10"}
    assert all(set(score) == {"score", "low", "high", "games"} for score in ended["anchors"].values())
    assert all(score["games"] == 4 for score in ended["anchors"].values())

    config = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
    assert config["name"] == "league" and config["stop"]["iterations"] == 3
    assert latest_checkpoint(folder / "checkpoints").path == Path(ended["checkpoint"])
    assert len(list((folder / "snapshots").glob("?" * 64))) == ended["pool_size"]
    matches = pd.read_parquet(folder / "matches")
    assert {"iteration", "learner", "opponent", "rule", "side", "wins", "draws", "losses", "steps"} <= set(matches)
    assert pd.read_json(folder / "progress.jsonl", lines=True).iteration.iloc[-1] == 3

    events = EventAccumulator(str(folder / "tb"))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    expected = """
        throughput/env_steps_per_s learner/policy_loss learner/entropy learner/mean_kl matches/length staleness/updates
        league/pool_size league/win_rate/pool league/win_rate/oldest league/elo league/elo_pool_mean
        evaluation/mcts_10/greedy/score
    """
    for name in expected.split():
        assert name in scalars, name
    pictures = {f"league/{name}" for name in ("payoff", "ratings", "matchmaking", "opponents", "lineages")}
    assert pictures | {"evaluation/match"} == set(events.Tags()["images"])
    assert events.Images("league/payoff")[-1].encoded_image_string.startswith(b"\x89PNG")

    # In one more process, whose imports take most of its time: the trained agent is loaded without Ray and without
    # unpickling anything of the run. A second run in the same directory is refused with one line, and changes nothing.
    code = f"""
import runpy
import sys
unpickled = []
sys.addaudithook(lambda event, arguments: unpickled.append(arguments) if event == "pickle.find_class" else None)
import numpy as np
import marl_app
agent = marl_app.load_agent({str(folder)!r})
first = marl_app.load_agent({str(folder)!r}, player="main@0000")
before = len(unpickled)
marl_app.load_agent({str(folder)!r})
assert len(unpickled) == before, unpickled[before:]
board, mask = np.zeros((6, 7, 2), np.int8), np.array([1, 1, 0, 1, 1, 1, 0], np.int8)
for player in (agent, first):
    assert mask[player.act(board, mask)] and player.probabilities(board, mask)[[2, 6]].max() < 1e-6
import ray
assert not ray.is_initialized()
print("loaded")
sys.argv = ["marl_app", "+experiment=league", "+debug=smoke", "hydra.run.dir={folder}"]
runpy.run_module("marl_app", run_name="__main__", alter_sys=True)
"""
    again = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert "loaded" in again.stdout, again.stderr
    assert again.returncode == 2 and again.stderr.count("\n") == 1, again.stderr
    assert f"continue it with resume={folder}" in again.stderr
    assert summary(folder) == ended


def wait_for(what, process, seconds=100):
    began = time.monotonic()
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < seconds
        time.sleep(0.1)


@pytest.mark.usefixtures("ray_here")
def test_killed_resumed_interrupted_and_resumed_again(tmp_path):
    folder = tmp_path / "run"
    checkpoints = folder / "checkpoints"

    def iteration():
        saved = latest_checkpoint(checkpoints) if checkpoints.exists() else None
        return saved.state.iteration if saved else 0

    game = ("+experiment=alphastar", "league.turn=1", *QUICK, "evaluation.anchors=[]", "checkpoint.every_seconds=1")
    process = start(*game, "stop.minutes=10", f"hydra.run.dir={folder}")

    def reset_once():
        saved = latest_checkpoint(checkpoints) if checkpoints.exists() else None
        return saved is not None and saved.state.league["careers"]["main_exploiter"]["resets"] > 0

    wait_for(reset_once, process)
    runners = [number for number, command in processes(process.pid).items() if "MatchEnvRunner" in command]
    assert len(runners) == 1
    process.kill()
    _, err = process.communicate()
    how = f"continue at iteration {iteration()} with python -m marl_app resume={folder}"
    assert f"ended without warning (killed, or Ray died); {how}" in err
    ended = summary(folder)
    assert ended["status"] == "killed" and ended["iterations"] >= iteration()
    killed_at = latest_checkpoint(checkpoints).state.to_json()
    wait_for_end(runners)  # env runners end with the driver

    # The resumed run has the settings of the first command, except for those given here. Its learner is in another
    # process, which takes over the saved state.
    process = start(f"resume={folder}", "stop.minutes=20", "runtime.num_learners=1")
    wait_for(lambda: iteration() > killed_at["iteration"] + 3, process)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: the signal goes to every process of the group
    out, err = finish(process, code=130)
    assert "interrupted after" in out and "Traceback" not in err, err[-3000:]
    assert out.endswith(f"continue it:  python -m marl_app resume={folder}\n")
    ended = summary(folder)
    assert ended["status"] == "interrupted" and ended["iterations"] == iteration() > killed_at["iteration"] + 3
    state = check_books(folder)
    assert state["league"]["snapshots"][: len(killed_at["league"]["snapshots"])] == killed_at["league"]["snapshots"]
    assert len(state["trainees"]) == 4
    for learner, career in killed_at["league"]["careers"].items():  # all four continue
        now = state["league"]["careers"][learner]
        assert now["matches"] >= career["matches"] and now["resets"] >= career["resets"]
        assert state["trainees"][learner]["agent_steps"] >= killed_at["trainees"][learner]["agent_steps"] > 0
        assert state["trainees"][learner]["initial"] == killed_at["trainees"][learner]["initial"]

    last = iteration() + 2
    # In this process, with the learner and the env runner of the driver.
    line = [f"resume={folder}", "stop.minutes=null", f"stop.iterations={last}"]
    line += ["runtime.num_learners=0", "runtime.num_env_runners=0"]
    run_task(load(expand(line, multirun=False), output_dir=str(folder)))
    assert summary(folder)["status"] == "finished" and iteration() == last
    assert check_books(folder)["counters"]["seconds"] > state["counters"]["seconds"] > killed_at["counters"]["seconds"]


def processes(leader):
    """{pid: command line} of a process and its descendants."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                started_by = descends_from(int(entry.name), leader)
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (OSError, ValueError):
                continue
            if started_by:
                found[int(entry.name)] = command
    return found


def descends_from(number, ancestor):
    while number > 1:
        if number == ancestor:
            return True
        number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def wait_for_end(numbers, seconds=30):
    began = time.monotonic()
    while any(map(alive, numbers)):
        assert time.monotonic() - began < seconds
        time.sleep(0.2)


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_several_runs_in_one_process(tmp_path):
    jobs = ("env=kuhn_poker,rock_paper_scissors", "stop.iterations=2", "runtime.num_env_runners=0")
    sizes = ("runtime.num_envs_per_env_runner=16", "algorithm.train_batch_size_per_learner=256", "model.hidden=[16]")
    out, err = finish(
        start("-m", "+experiment=self_play", *jobs, *sizes, "algorithm.minibatch_size=128", "evaluation.games=10",
              "evaluation.anchors=[random]", f"hydra.sweep.dir={tmp_path}")
    )  # fmt: skip
    assert out.count("finished after") == 2 and "Traceback" not in err
    assert out.endswith(f"compare the runs:  python -m marl_app task=study run={tmp_path}\n")
    runs = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert [path.name for path in runs] == ["0_env=kuhn_poker", "1_env=rock_paper_scissors"]
    for run, target in zip(
        runs, ("marl_app.envs.openspiel_tree.OpenSpielTree", "marl_app.envs.matrix_game.MatrixGame"), strict=True
    ):
        ended = summary(run)
        assert (ended["status"], ended["env_steps"]) == ("finished", 512)
        assert ended["anchors"]["random"]["games"] == 10
        assert yaml.safe_load((run / ".hydra" / "config.yaml").read_text())["env"]["_target_"] == target


@pytest.mark.slow  # test_env_runner_processes.py tests the same in one process
def test_an_environment_that_only_raises_ends_the_run_with_its_traceback(tmp_path):
    (tmp_path / "fault").write_text("raise")
    game = (
        "env=rock_paper_scissors",
        "env._target_=tests.rllib.games.Faulty",
        "~env.payoff",
        f"+env.folder={tmp_path}",
    )
    process = start("+experiment=league", *game, *QUICK, "evaluation.anchors=[]", f"hydra.run.dir={tmp_path / 'run'}")
    _, err = finish(process, code=1)
    assert "the simulation exploded" in err and "games.py" in err and "3 times in a row" in err
    ended = summary(tmp_path / "run")
    assert ended["status"] == "failed" and ended["iterations"] == 0 and ended["checkpoint"] is None
    assert np.isfinite(ended["env_steps_per_s"])

"""Checkpoints: complete, replaced by the one before when damaged, and loaded without running code."""

import hashlib
import json
import logging
import os
import shutil
import sys

import numpy as np
import pytest
import torch

from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import LEARNER, MANIFEST, PLAYER, STATE, latest_checkpoint
from marl_app.store.codec import decode
from tests.rllib.runs import equal, running

MAIN = PLAYER.format("main")

pytestmark = pytest.mark.usefixtures("ray_here")

GAME = ("env=tic_tac_toe", "league/matchmaker=latest_past", "algorithm.use_kl_loss=true", "algorithm.lr=0.01")
"""A league whose learner has a state of every kind: Adam's moments, an adaptive KL coefficient, shuffled rows."""


def learner_state(algorithm):
    """Return the learner's state other than weights: arrays by name."""
    learner = algorithm.learner_group._learner
    [optimizer] = learner._named_optimizers.values()
    moments = {
        f"{index}/{key}": value.numpy().copy()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }
    kl = np.array(float(learner.curr_kl_coeffs_per_module["main"]))
    return {**moments, "kl": kl, "rng": torch.get_rng_state().numpy().copy()}


def plain(algorithm):
    """Return counters (without seconds), league and RNG after a round trip through JSON."""
    state = json.loads(json.dumps(algorithm.run_state().to_json()))
    del state["counters"]["seconds"]
    return state


@pytest.fixture(scope="module")
def run(ray_here, tmp_path_factory):
    """A run of six iterations with checkpoints after the third, fifth and sixth, and the state at each of them."""
    folder = tmp_path_factory.mktemp("run")
    states = {}
    with running(folder, *GAME) as algorithm:
        algorithm.anchors = {"random": {"score": 0.75, "low": 0.5, "high": 0.9, "games": 4}}
        for iteration in range(1, 7):
            algorithm.train()
            if iteration in (3, 5, 6):
                path = save_checkpoint(algorithm, folder / "checkpoints", keep=3)
                assert path.name == f"checkpoint-{iteration:08d}"
                states[iteration] = (algorithm.weights.read("main"), learner_state(algorithm), plain(algorithm))
    return folder, states


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run, to be damaged."""
    shutil.copytree(run[0], tmp_path / "run")
    return tmp_path / "run"


def test_a_loaded_checkpoint_restores_everything(run, tmp_path):
    folder, states = run
    weights, learner, state = states[6]
    assert len(state["league"]["snapshots"]) >= 2 and learner["kl"] != 0.2 and len(learner) > 10
    checkpoint = latest_checkpoint(folder / "checkpoints")
    with running(tmp_path, *GAME, f"store.path={folder}/snapshots") as algorithm:
        for _ in range(2):  # another history, of which nothing may remain
            algorithm.train()
        load_checkpoint(algorithm, checkpoint)
        assert equal(algorithm.weights.read("main"), weights)
        assert equal(learner_state(algorithm), learner)
        assert plain(algorithm) == state
        assert algorithm.iteration == 6 and algorithm.anchors["random"]["games"] == 4
        assert equal(algorithm.weights.broadcasted("main"), weights)


def test_two_continuations_of_a_checkpoint_are_equal(run, tmp_path):
    # Running matches are not saved and start again; everything else goes on, so two continuations are equal.
    folder, _ = run
    ends = []
    for name in ("a", "b"):
        with running(tmp_path / name, *GAME, f"store.path={folder}/snapshots") as algorithm:
            load_checkpoint(algorithm, latest_checkpoint(folder / "checkpoints"))
            for _ in range(3):
                algorithm.train()
            ends.append((algorithm.weights.read("main"), learner_state(algorithm), plain(algorithm)))
    assert equal(ends[0][0], ends[1][0]) and equal(ends[0][1], ends[1][1]) and ends[0][2] == ends[1][2]
    assert ends[0][2]["iteration"] == 9


def test_a_resumed_league_equals_an_uninterrupted_one(tmp_path):
    """In a game of one step no match is running between two iterations, so that a resume loses none.

    Then steps, iterations, snapshots and the number of matches must be equal. The opponents of the matches may differ,
    since an uninterrupted env runner assigns its next matches before it receives a new assignment.
    """
    game = ("env=rock_paper_scissors", "league/matchmaker=uniform", "league.schedule.agent_steps=700")

    def summary(algorithm):
        league = algorithm.league
        return {
            "iteration": algorithm.iteration,
            "env_steps": algorithm.counters.env_steps,
            "updates": algorithm.counters.updates,
            "matches": (algorithm.counters.matches, league.matches),
            "pool": [snapshot.player.id for snapshot in league.snapshots],
            "parents": [snapshot.parent is not None for snapshot in league.snapshots],
        }

    with running(tmp_path / "whole", *game) as algorithm:
        for _ in range(8):
            algorithm.train()
        whole, whole_pool = summary(algorithm), algorithm.league.snapshots
    with running(tmp_path / "parts", *game) as algorithm:
        for _ in range(4):
            algorithm.train()
        save_checkpoint(algorithm, tmp_path / "parts" / "checkpoints", keep=1)
        half_pool = algorithm.league.snapshots
    with running(tmp_path / "parts", *game) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "parts" / "checkpoints"))
        for _ in range(4):
            algorithm.train()
        parts, parts_pool = summary(algorithm), algorithm.league.snapshots
    assert parts == whole
    assert len(whole["pool"]) > len(half_pool) >= 2
    # Until the checkpoint the two runs are equal, so their snapshots have the same weights.
    assert parts_pool[: len(half_pool)] == half_pool == whole_pool[: len(half_pool)]


def test_a_checkpoint_holds_the_learner_as_a_player(run):
    folder, states = run
    weights, facts = decode(latest_checkpoint(folder / "checkpoints").players["main"])
    assert equal(weights, states[6][0])
    assert facts["player"] == "main" and facts["env_steps"] == 6 * 512


DAMAGE = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "emptied": lambda file: file.write_bytes(b""),
    "missing": lambda file: file.unlink(),
    "a flipped bit": lambda file: file.write_bytes(flipped(file.read_bytes(), len(file.read_bytes()) // 2)),
    "other JSON": lambda file: file.write_text("[]"),
}


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


@pytest.mark.parametrize("file", [MAIN, LEARNER, STATE, MANIFEST])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_skipped(copy, file, damage, caplog):
    directory = copy / "checkpoints"
    damage(directory / "checkpoint-00000006" / file)
    with caplog.at_level(logging.WARNING):
        found = latest_checkpoint(directory)
    assert found.path.name == "checkpoint-00000005" and found.state.to_json()["iteration"] == 5
    assert "checkpoint-00000006 is damaged" in caplog.text
    damage(directory / "checkpoint-00000005" / file)
    assert latest_checkpoint(directory).path.name == "checkpoint-00000003"
    damage(directory / "checkpoint-00000003" / file)
    assert latest_checkpoint(directory) is None


def test_any_flipped_bit_is_noticed(copy):
    newest = copy / "checkpoints" / "checkpoint-00000006"
    rng = np.random.default_rng(0)
    for file in (newest / name for name in (MAIN, LEARNER, STATE, MANIFEST)):
        data = file.read_bytes()
        for at in rng.integers(0, len(data), 15):
            file.write_bytes(flipped(data, at))
            assert latest_checkpoint(copy / "checkpoints").path != newest
        file.write_bytes(data)
    assert latest_checkpoint(copy / "checkpoints").path == newest


def rewritten(folder, **files):
    """The newest checkpoint of a run with other files, and a manifest that fits them."""
    path = latest_checkpoint(folder / "checkpoints").path
    manifest = json.loads((path / "manifest.json").read_text())
    for name, data in files.items():
        (path / name).write_bytes(data)
        manifest[name] = hashlib.sha256(data).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    "malformed",
    ["nested manifest", "device", "pipe", "link", "elsewhere", "file", "missing key", "unknown key", "list", "huge"],
)
@pytest.mark.timeout(30)  # a pipe or a device would be read without end
def test_a_malformed_checkpoint_is_refused_not_followed(copy, malformed, caplog):
    path = latest_checkpoint(copy / "checkpoints").path
    before = sorted(other for other in (copy / "checkpoints").iterdir() if other != path)[-1]
    manifest, state = path / "manifest.json", json.loads((path / "state.json").read_text())
    if malformed == "nested manifest":
        manifest.write_text("[" * 10_000 + "]" * 10_000)
    elif malformed == "device":
        manifest.write_text(json.dumps({"/dev/zero": "0" * 64}))
    elif malformed == "elsewhere":
        manifest.write_text(json.dumps({"../../summary.json": "0" * 64}))
    elif malformed in ("pipe", "link"):
        (path / "state.json").unlink()
        os.mkfifo(path / "state.json") if malformed == "pipe" else (path / "state.json").symlink_to("/dev/zero")
    elif malformed == "huge":
        os.truncate(path / "state.json", 2**30 + 1)  # a hole: it takes no space on the disk, and would take memory
    elif malformed == "file":
        shutil.rmtree(path)
        path.write_text("not a directory")
    else:
        del state["league"]
        if malformed == "unknown key":
            state = json.loads((path / "state.json").read_text())
            state["counters"]["wishes"] = 3
        rewritten(copy, **{"state.json": json.dumps([] if malformed == "list" else state).encode()})
    assert latest_checkpoint(copy / "checkpoints").path == before
    assert malformed == "file" or "is damaged" in caplog.text


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("trainees", {}),  # of no learner there is no player to load
        ("league", None),
        ("league", {"snapshots": []}),
        ("rng", [1]),
        ("iteration", "3"),
        ("iteration", -1),
        ("turns", {"passed": {"main": "x"}, "current": "main", "left": 1}),
        ("anchors", {"random": 0.5}),
        ("exploitability", {"agent": []}),
        ("value_preserving_moves", "none"),
    ],
)
def test_a_part_of_another_form_is_damage(copy, part, value):
    path = latest_checkpoint(copy / "checkpoints").path
    state = json.loads((path / "state.json").read_text())
    rewritten(copy, **{"state.json": json.dumps({**state, part: value}).encode()})
    assert latest_checkpoint(copy / "checkpoints").path < path


def test_a_link_is_no_checkpoint(copy, tmp_path):
    path = latest_checkpoint(copy / "checkpoints").path
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert latest_checkpoint(copy / "checkpoints").path < path


def test_no_checkpoints(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_a_snapshot_that_the_store_lost_is_named(copy, tmp_path):
    found = latest_checkpoint(copy / "checkpoints")
    lost = found.state.league["snapshots"][1]
    (copy / "snapshots" / lost["digest"]).unlink()
    with running(copy, *GAME) as algorithm, pytest.raises(KeyError, match="main@0001"):
        load_checkpoint(algorithm, found)


def test_another_model_is_refused(run, tmp_path):
    folder, _ = run
    others = [("model.hidden=[17]", "encoder"), ("model.hidden=[16,16]", "encoder"), ("env=connect_four", "")]
    others += [("model.activation=tanh", "model.activation: relu, not tanh")]  # another function of the same weights
    for other, at in others:
        with running(tmp_path, *GAME, other, f"store.path={folder}/snapshots") as algorithm:
            before = algorithm.weights.read("main")
            with pytest.raises(ValueError, match=f"holds another model.*{at}"):
                load_checkpoint(algorithm, latest_checkpoint(folder / "checkpoints"))
            assert equal(algorithm.weights.read("main"), before)


@pytest.fixture
def algorithm(tmp_path):
    with running(tmp_path / "run", "env=rock_paper_scissors") as algorithm:
        yield algorithm


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_the_newest_are_kept(algorithm, tmp_path):
    for _ in range(4):
        algorithm.train()
        save_checkpoint(algorithm, tmp_path, keep=2)
    assert names(tmp_path) == ["checkpoint-00000003", "checkpoint-00000004", "run"]
    assert names(tmp_path / "checkpoint-00000004") == sorted([MAIN, LEARNER, STATE, MANIFEST])


def test_what_a_killed_writer_left_is_ignored_and_cleaned_up(algorithm, tmp_path):
    directory = tmp_path / "checkpoints"
    algorithm.train()
    # Process numbers are reused, for example in a container that is started again.
    for number in (os.getpid(), 1):
        leftover = directory / f".checkpoint-00000001.{number}"
        leftover.mkdir(parents=True)
        (leftover / MAIN).write_bytes(b"half")
    assert latest_checkpoint(directory) is None
    save_checkpoint(algorithm, directory, keep=1)
    assert names(directory) == ["checkpoint-00000001"]


def test_damaged_checkpoints_of_later_iterations_do_not_push_out_the_good_one(algorithm, tmp_path):
    for iteration in (7, 8, 9):
        (tmp_path / "checkpoints" / f"checkpoint-{iteration:08d}").mkdir(parents=True)
    algorithm.train()
    path = save_checkpoint(algorithm, tmp_path / "checkpoints", keep=2)
    assert latest_checkpoint(tmp_path / "checkpoints").path == path


def test_there_is_a_whole_checkpoint_at_every_moment(algorithm, tmp_path, monkeypatch):
    # Saving the same iteration again, as the end of a run does, is interrupted at the rename of the new checkpoint.
    directory = tmp_path / "checkpoints"
    algorithm.train()
    save_checkpoint(algorithm, directory, keep=1)

    def cut_short(*arguments):
        raise OSError("killed")

    monkeypatch.setattr(os, "rename", cut_short)
    with pytest.raises(OSError, match="killed"):
        save_checkpoint(algorithm, directory, keep=1)
    assert latest_checkpoint(directory).state.to_json()["iteration"] == 1
    monkeypatch.undo()
    algorithm.counters.seconds = 12345.0
    path = save_checkpoint(algorithm, directory, keep=1)
    assert (
        latest_checkpoint(directory).path == path
        and latest_checkpoint(directory).state.to_json()["counters"]["seconds"] == 12345.0
    )
    assert len(names(directory)) == 1
    # As if killed after the rename of the new checkpoint and before the deletion of the old one.
    assert names(directory) == ["checkpoint-00000001+"]
    shutil.copytree(path, directory / "checkpoint-00000001")
    algorithm.counters.seconds = 54321.0
    save_checkpoint(algorithm, directory, keep=1)
    assert len(names(directory)) == 1 and latest_checkpoint(directory).state.to_json()["counters"]["seconds"] == 54321.0


def test_loading_unpickles_nothing(run, tmp_path):
    folder, _ = run
    watching, unpickled = [False], []

    def hook(event, arguments):
        if watching[0] and event == "pickle.find_class":
            unpickled.append(arguments)

    sys.addaudithook(hook)
    with running(tmp_path, *GAME, f"store.path={folder}/snapshots") as algorithm:
        watching[0] = True
        load_checkpoint(algorithm, latest_checkpoint(folder / "checkpoints"))
        watching[0] = False
    assert not unpickled
    for file in (folder / "checkpoints").rglob("*.*"):
        assert file.suffix in (".safetensors", ".json")

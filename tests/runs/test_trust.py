"""A run of someone else is data: its files name classes and functions, and none of them is imported or called."""

import json
import shutil
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from omegaconf import OmegaConf

import marl_app
from marl_app.config.compose import compose_job, load
from marl_app.config.errors import ConfigError
from marl_app.config.resume import expand
from marl_app.config.tree import options
from marl_app.envs.matrix_game import MatrixGame
from marl_app.evaluation.contestants import player_bytes
from marl_app.players.agent import Agent
from marl_app.players.bots import encode_bot
from marl_app.players.encoding import build_modules
from marl_app.run import run as run_task
from marl_app.runs.choices import chosen_options, given_overrides, sweep_folder
from marl_app.runs.load import store_of
from marl_app.runs.trust import RECORDED, foreign_imports, is_own, recorded_config, sign
from marl_app.store.codec import CorruptBlob, decode, encode
from marl_app.store.disk import DiskStore
from tests.evaluation.runs import ROCK, RPS, always, write_run

CALLED = "called"  # a file that the code of the stranger would leave


def of_stranger(folder, change=(), overrides=("+experiment=league", "env=rock_paper_scissors")):
    """A run directory whose recorded configuration is changed by hand, and is not signed."""
    run = write_run(folder, pool=(ROCK,))
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    for key, value in dict(change).items():
        OmegaConf.update(config, key, value, force_add=True)
    OmegaConf.save(config, run / ".hydra" / "config.yaml")
    OmegaConf.save(list(overrides), run / ".hydra" / "overrides.yaml")
    OmegaConf.save({"hydra": {}}, run / ".hydra" / "hydra.yaml")
    return run


def test_a_record_is_own_until_a_byte_of_it_changes(tmp_path):
    run = of_stranger(tmp_path / "run")
    assert not is_own(run)
    sign(run)
    assert is_own(run)
    shutil.move(run, tmp_path / "moved")
    assert is_own(tmp_path / "moved")
    for name in RECORDED:
        file = tmp_path / "moved" / ".hydra" / name
        before = file.read_bytes()
        file.write_bytes(before + b" ")
        assert not is_own(tmp_path / "moved")
        file.write_bytes(before)
    (tmp_path / "moved" / ".hydra" / "signature").write_text("0" * 64)
    assert not is_own(tmp_path / "moved")


def test_another_users_signature_does_not_count(tmp_path, monkeypatch):
    run = of_stranger(tmp_path / "run")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "stranger"))
    sign(run)
    assert is_own(run) and (tmp_path / "stranger" / "marl_app" / "key").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "me"))
    assert not is_own(run) and not (tmp_path / "me").exists()  # only a run of mine makes a key


def test_without_a_place_for_the_key_a_run_is_not_signed(tmp_path, monkeypatch, caplog):
    run = of_stranger(tmp_path / "run")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))  # no folder
    sign(run)
    assert not is_own(run) and "needs trust=true" in caplog.text


@pytest.mark.parametrize("experiment", options("experiment"))
def test_shipped_experiments_import_nothing_foreign(experiment):
    # Otherwise a run from another machine could not be used although it needs no code but marl_app's.
    assert foreign_imports(OmegaConf.to_container(compose_job([f"+experiment={experiment}"]))) == {}


@pytest.mark.parametrize("group", ["env", "store", "cache", "model", "task", "league/matchmaker", "league/schedule"])
def test_shipped_options_import_nothing_foreign(group):
    for option in options(group):
        assert foreign_imports(OmegaConf.to_container(compose_job([f"{group}={option}"]))) == {}, option


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("env._target_", "os.system", "os.system"),
        ("env.openings._target_", "shutil.copy", "shutil.copy"),
        ("callbacks.x._target_", "shutil.copy", "shutil.copy"),
        ("env._target_", "marl_app.store.disk.os.unlink", "marl_app.store.disk.os.unlink"),  # walks through a module
        ("env._target_", "marl_app.runs.checkpoints.write_checkpoint", "marl_app.runs.checkpoints.write_checkpoint"),
        ("store._target_", "marl_app.tasks.train.train", "marl_app.tasks.train.train"),  # an option of another group
        ("env.name", "antigravity.fly", "antigravity.fly"),
        ("league.guests.g", "this.s", "this.s"),
        ("task.players", ["random", "sys.exit"], "sys.exit"),
        ("league.matchmaker.parts", [{"matchmaker": {"_target_": "os.system"}}], "os.system"),
        ("store.url", "http://x/${oc.env:AWS_SECRET_ACCESS_KEY}", "http://x/${oc.env:AWS_SECRET_ACCESS_KEY}"),
    ],
)
def test_everything_that_could_run_code_is_found(key, value, found):
    config = OmegaConf.create()
    OmegaConf.update(config, key, value, force_add=True)
    assert foreign_imports(OmegaConf.to_container(config)) == {key: found}


@pytest.mark.parametrize("target", ["os.system", "os.getcwd", "shutil.copy", "antigravity.fly", "builtins.print"])
def test_the_store_of_a_foreign_run_is_not_called(tmp_path, target):
    run = of_stranger(tmp_path / "run", {"store": {"_target_": target, "command": f"touch {tmp_path}/{CALLED}"}})
    for use in (lambda: store_of(run), lambda: marl_app.load_agent(run, "main@0000")):
        with pytest.raises(
            ValueError, match=rf"was not started here by you, and would import {target} \(store._target_"
        ):
            use()
    with pytest.raises(ValueError, match=f"would import {target}"):
        player_bytes(MatrixGame(1, RPS), f"{run}:main@0000", DiskStore(tmp_path / "store"))
    assert "antigravity" not in sys.modules and not (tmp_path / CALLED).exists()
    # The user's own run with a store of the user.
    assert marl_app.load_agent(run, "main@0000", store=DiskStore(run / "snapshots")).metadata["player"] == "main"


@pytest.mark.parametrize("task", ["evaluate", "exploit", "garbage", "contrast"])
@pytest.mark.parametrize("key", ["env", "env.openings", "store"])
def test_tasks_do_not_make_what_a_foreign_run_names(tmp_path, task, key):
    secret, copy = tmp_path / "secret", tmp_path / CALLED
    secret.touch()
    run = of_stranger(tmp_path / "run", {key: {"_target_": "shutil.copy", "src": str(secret), "dst": str(copy)}})
    target = run.parent if task == "contrast" else run
    try:
        lines = expand([f"task={task}", f"run={target}"], multirun=False)
        run_task(load(lines, str(tmp_path / "out")))
        assert task == "garbage" and key != "store"  # it makes the store only
    except ConfigError as error:
        assert "would import shutil.copy" in str(error) and "trust=true" in str(error)
    finally:
        assert not copy.exists()


def test_a_foreign_run_is_resumed_if_it_imports_nothing(tmp_path):
    run = of_stranger(tmp_path / "run")
    assert load(expand([f"resume={run}"], multirun=False)).name == "league"


@pytest.mark.parametrize("where", ["overrides", "config", "hydra"])
def test_resume_of_a_foreign_run_imports_nothing(tmp_path, where):
    hostile = ["+callbacks.x={_target_: os.system, command: ls}", "trust=true", "hydra.job_logging.version=2"]
    change = {"callbacks.x": {"_target_": "os.system", "command": "ls"}, "trust": True}
    overrides = ["+experiment=league", "env=rock_paper_scissors"]
    run = of_stranger(
        tmp_path / "run",
        change if where == "config" else {},
        [*overrides, *hostile] if where == "overrides" else overrides,
    )
    if where == "hydra":
        (run / "evil" / "callbacks").mkdir(parents=True)
        (run / "evil" / "callbacks" / "x.yaml").write_text("x: {_target_: os.system, command: ls}\n")
        OmegaConf.save({"hydra": {"searchpath": [f"file://{run}/evil"]}}, run / ".hydra" / "hydra.yaml")
        with pytest.raises(
            ConfigError, match="was not started here by you, and has options in .*evil: give the folder"
        ):
            expand([f"resume={run}"], multirun=False)
        return
    with pytest.raises(ConfigError, match=r"resume=.*would import os.system \(callbacks.x._target_\): give trust=true"):
        expand([f"resume={run}"], multirun=False)
    # Allowed: by a word, by naming it, or because the command line takes it away.
    for allowed in ("trust=true", "++callbacks.x._target_=os.system", "~callbacks.x"):
        if where == "config" and allowed.startswith("~"):
            continue
        lines = expand([f"resume={run}", allowed], multirun=False)
        assert not any(line.startswith("hydra.job_logging") for line in lines)
        assert load(lines).trust is (allowed == "trust=true")
    sign(run)
    assert load(expand([f"resume={run}"], multirun=False)).trust is False


def test_trust_says_what_it_imports(tmp_path, capsys):
    run = of_stranger(tmp_path / "run", {"store": {"_target_": "tests.runs.test_trust.AStore", "path": "x"}})
    with pytest.raises(FileNotFoundError, match="made"):
        store_of(run, trust=True)
    assert "imports tests.runs.test_trust.AStore (store._target_)" in capsys.readouterr().out


class AStore:
    def __init__(self, path):
        raise FileNotFoundError("made")


def with_metadata(data, **changes):
    weights, metadata = decode(data)
    return encode(weights, {**metadata, **changes})


def replace_player(run, data):
    """Put other bytes in place of the newest agent of a run."""
    import hashlib

    [checkpoint] = run.glob("checkpoints/*")
    (checkpoint / "player-main.safetensors").write_bytes(data)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["player-main.safetensors"] = hashlib.sha256(data).hexdigest()
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("named", ["antigravity.Network", "idlelib.idle.X"])
def test_a_player_imports_nothing(tmp_path, named):
    module = named.rpartition(".")[0]
    run = of_stranger(tmp_path / "run")
    for data in (with_metadata(always(ROCK), module_class=named), encode_bot(named)):
        replace_player(run, data)
        with pytest.raises(ValueError, match=f"needs the class {named}, which is not imported|this is the bot {named}"):
            marl_app.load_agent(run)
        with pytest.raises(ValueError, match=f"needs the class {named}, which is not imported"):
            player_bytes(MatrixGame(1, RPS), str(run), DiskStore(tmp_path / "store"))
        sign(run)  # this user's record does not name that package: the player was put in
        with pytest.raises(ValueError, match=f"needs the class {named}, which is not imported"):
            player_bytes(MatrixGame(1, RPS), str(run), DiskStore(tmp_path / "store"))
    assert module not in sys.modules


def test_the_users_own_run_imports_its_network(tmp_path, monkeypatch):
    # In a new process `load_agent` is the first to import the project's classes.
    (tmp_path / "my_nets").mkdir()
    (tmp_path / "my_nets" / "__init__.py").touch()
    (tmp_path / "my_nets" / "net.py").write_text(
        "from marl_app.players.modules.mlp import MLP, MLPModule\nclass Net(MLPModule): pass\n"
        "class Nets(MLP):\n    module_class = Net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = of_stranger(tmp_path / "run", {"model._target_": "my_nets.net.Nets"})
    replace_player(run, with_metadata(always(ROCK), module_class="my_nets.net.Net"))
    with pytest.raises(ValueError, match="import my_nets.net before, or allow the run to import it with trust=true"):
        marl_app.load_agent(run)
    sign(run)
    assert marl_app.load_agent(run).act(np.zeros(1, np.float32), greedy=True) == ROCK
    for name in ("my_nets.net", "my_nets"):
        del sys.modules[name]
    (run / ".hydra" / "signature").unlink()
    assert marl_app.load_agent(run, trust=True).act(np.zeros(1, np.float32), greedy=True) == ROCK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights, metadata: metadata["networks"].clear(), "has no networks"),
        (lambda weights, metadata: metadata["networks"][0]["agents"].clear(), "a network without agents"),
        (lambda weights, metadata: metadata["model_config"].update(hidden=[200_000, 200_000]), "do not fit"),  # 160 GB
        (lambda weights, metadata: metadata["networks"][0]["observation_space"].update(shape=[10**6, 40_000]), "shape"),
        (lambda weights, metadata: metadata["networks"][0]["action_space"].update(discrete=10**12), "size"),
        (lambda weights, metadata: metadata["networks"][0]["action_space"].update(discrete=-1), "size"),
        (lambda weights, metadata: metadata["networks"][0].update(num_agents=10**12), "do not fit"),
        (lambda weights, metadata: metadata["networks"][0].update(num_agents=-5), "do not fit"),
        (lambda weights, metadata: metadata.pop("agents"), "agents"),
        (lambda weights, metadata: metadata["model_config"].update(hidden="ab"), "malformed"),
        (lambda weights, metadata: metadata["model_config"].update(activation="os.system"), "malformed"),
        (lambda weights, metadata: next(iter(weights.values())).fill(np.nan), "not finite"),
        (lambda weights, metadata: weights.clear(), "do not fit"),
    ],
)
def test_a_malformed_player_is_refused_before_anything_is_allocated(change, message):
    weights, metadata = decode(always(ROCK))
    change(weights, metadata)
    with pytest.raises(ValueError, match=message):
        Agent(encode(weights, metadata))


def test_a_damaged_or_missing_snapshot_is_named_in_a_line(tmp_path):
    run = of_stranger(tmp_path / "run")
    [file] = (run / "snapshots").glob("?" * 64)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    before = content_of(run)
    with pytest.raises(CorruptBlob, match=f"^main@0000 of {run} is damaged: .*{file.name} does not have the digest"):
        marl_app.load_agent(run, "main@0000")
    assert content_of(run) == before  # a reader moves nothing
    file.unlink()
    with pytest.raises(KeyError, match=f"main@0000 of {run} is not in its store"):
        marl_app.load_agent(run, "main@0000")


def test_reading_a_run_changes_no_file(tmp_path):
    # Its record names a folder that is not there, in which case the player is missing, and no folder is made.
    run = of_stranger(tmp_path / "run", {"store.path": str(tmp_path / "elsewhere" / "snapshots")})
    before = content_of(tmp_path)
    for name in ("main@0000", "main"):
        for read in (
            lambda name: marl_app.load_agent(run, name),
            lambda name: player_bytes(MatrixGame(1, RPS), f"{run}:{name}", DiskStore(tmp_path / "mine")),
        ):
            with pytest.raises(KeyError, match="not in its store") if "@" in name else nullcontext():
                read(name)
    assert content_of(tmp_path) == before


def content_of(folder):
    """Path -> content of every file and folder; None for a folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_recorded_numbers_are_read_as_hydra_writes_them(tmp_path):
    numbers = {"a": 1e-05, "b": 3e20, "c": -2.5e-07, "d": 0.001, "e": 7, "f": float("inf"), "g": "1e-05x"}
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.create(numbers), tmp_path / ".hydra" / "config.yaml")
    assert recorded_config(tmp_path) == numbers


def test_the_weights_are_read_as_they_are():
    weights, metadata = decode(always(ROCK))
    [module] = build_modules(weights, metadata).values()
    assert {name.partition("/")[2] for name in weights} == set(module.state_dict())


ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.timeout(30)  # walked, the last of these lists has 2^60 items
@pytest.mark.parametrize(
    "content", [ALIASES, "a: &a {b: *a}", "[" * 20_000, "\t", "x: !!python/name:os.system"], ids=lambda text: text[:9]
)
def test_a_malformed_record_is_an_error_of_one_line(tmp_path, content):
    (tmp_path / ".hydra").mkdir()
    for name in ("config", "hydra", "overrides"):
        (tmp_path / ".hydra" / f"{name}.yaml").write_text(content)
    for read in (recorded_config, chosen_options, given_overrides):
        with pytest.raises(ValueError, match=r"\.yaml cannot be read: ") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["5", "[1]", "{hydra: [1]}", "{hydra: {runtime: {choices: 5}}}"])
def test_a_record_of_another_form_chose_nothing(tmp_path, content):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "hydra.yaml").write_text(content)
    assert chosen_options(tmp_path) == {} and sweep_folder(tmp_path) is None
    (tmp_path / ".hydra" / "overrides.yaml").write_text("{a: 1}")
    with pytest.raises(ValueError, match=r"overrides\.yaml is not a list"):
        given_overrides(tmp_path)


@pytest.mark.parametrize(
    "store",
    [
        5,
        [1],
        None,
        {"path": "x"},
        {"_target_": 5},
        {"_target_": "marl_app.store.disk.DiskStore"},
        {"_target_": "marl_app.store.disk.DiskStore", "path": 5},
        {"_target_": "marl_app.store.disk.DiskStore", "path": "${output_dir}/file"},
        {"_target_": "marl_app.store.disk.DiskStore", "path": "${output_dir}", "wishes": 3},
    ],
)
def test_a_malformed_store_of_a_record_is_an_error_that_shows_it(tmp_path, store):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / ".hydra" / "config.yaml").write_text(json.dumps({"store": store}))
    with pytest.raises(ValueError, match=r"the store that .* records, .*, cannot be made"):
        store_of(tmp_path)

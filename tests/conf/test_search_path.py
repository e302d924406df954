"""Options in a folder of the user: `--config-dir FOLDER` or `hydra.searchpath=[file://FOLDER]`."""

import pytest
from omegaconf import OmegaConf

from marl_app.__main__ import prepare
from marl_app.config.compose import CommandLine, compose_job, load, to_config
from marl_app.config.errors import ConfigError
from marl_app.config.resume import expand
from marl_app.config.search_path import with_search_path
from marl_app.config.tree import all_keys, groups, options
from marl_app.runs.trust import sign

GAME = "_target_: marl_app.envs.circle.Circle\nstones: 21\n"
EXPERIMENT = "# @package _global_\ndefaults: [override /env: my_game]\nname: mine\n"


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A user's folder `my_conf` in the current folder, with an environment and an experiment."""
    folder = tmp_path / "my_conf"
    for name, content in (("env/my_game", GAME), ("experiment/mine", EXPERIMENT)):
        (folder / name).parent.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text(content)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def record(tmp_path):
    """Leave a run directory as Hydra does."""

    def make(overrides):
        directory = tmp_path / "run"
        cfg = compose_job(overrides, output_dir="${hydra:runtime.output_dir}")
        search = [line for line in overrides if line.startswith("hydra.searchpath")]
        paths = OmegaConf.from_dotlist([line.replace("'", "") for line in search]) if search else {"hydra": {}}
        (directory / ".hydra").mkdir(parents=True)
        OmegaConf.save(OmegaConf.create(OmegaConf.to_container(cfg)), directory / ".hydra" / "config.yaml")
        OmegaConf.save([line for line in overrides if line not in search], directory / ".hydra" / "overrides.yaml")
        OmegaConf.save(paths, directory / ".hydra" / "hydra.yaml")
        sign(directory)
        return directory

    return make


@pytest.mark.parametrize(
    "flags",
    [
        ["--config-dir", "my_conf"],
        ["--config-dir=my_conf"],
        ["-cd", "my_conf"],
        ["hydra.searchpath=[file://my_conf]"],
        ["hydra.searchpath=[my_conf]"],
    ],
    ids=str,
)
def test_every_way_to_name_the_folder_gives_one_override_with_absolute_paths(conf, flags):
    arguments = prepare([*flags, "+experiment=mine", "env.stones=9"])
    assert arguments == [f"hydra.searchpath=['file://{conf}']", "+experiment=mine", "env.stones=9"]
    config = load(arguments)
    assert (config.name, config.env) == ("mine", {"_target_": "marl_app.envs.circle.Circle", "stones": 9})


def test_both_ways_together(conf, tmp_path):
    (tmp_path / "more" / "env").mkdir(parents=True)
    (tmp_path / "more" / "env" / "other.yaml").write_text(GAME)
    (line, _) = with_search_path(["hydra.searchpath=[file://more]", "env=other"], "my_conf")
    assert line == f"hydra.searchpath=['file://{conf}','file://{tmp_path}/more']"
    assert load([line, "+experiment=mine", "env=other"]).name == "mine"


def test_a_folder_of_an_installed_package(conf, tmp_path, monkeypatch):
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "__init__.py").touch()
    conf.rename(tmp_path / "their_package" / "conf")
    monkeypatch.syspath_prepend(tmp_path)
    lines = with_search_path(["hydra.searchpath=[pkg://their_package.conf]", "+experiment=mine"])
    assert lines[0] == f"hydra.searchpath=['file://{tmp_path}/their_package/conf']"
    assert load(lines).name == "mine" and "my_game" in options("env")


def test_errors_name_the_users_options(conf):
    with pytest.raises(ConfigError, match=r"env=my_gme: .* Did you mean my_game\?\nOptions: .*my_game.*tic_tac_toe"):
        load(with_search_path(["env=my_gme"], "my_conf"))
    with pytest.raises(ConfigError, match=r"env\.stoness: .* Did you mean env\.stones\?"):
        load(with_search_path(["env=my_game", "env.stoness=3"], "my_conf"))
    assert "mine" in options("experiment") and "env.stones" in all_keys()


def test_a_users_group_is_a_group(conf):
    (conf / "my_group").mkdir()
    (conf / "my_group" / "one.yaml").write_text("seed: 3\n")
    load(with_search_path([], "my_conf"))
    assert "my_group" in groups()
    load([])
    assert "my_group" not in groups() and "my_game" not in options("env")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-dir", "nowhere"], "nowhere: no such configuration folder: give one that exists with --config-dir"),
        (["hydra.searchpath=[pkg://nowhere.conf]"], "pkg://nowhere.conf: no such configuration folder"),
        (["hydra.searchpath=my_conf"], r"hydra.searchpath=my_conf: give a list of folders"),
        (["--config-name", "mine"], "--config-name is not supported: .* --config-dir"),
        (["--config-path", "my_conf"], "--config-path is not supported: .* --config-dir"),
    ],
    ids=str,
)
def test_a_wrong_folder_is_named(conf, arguments, message):
    with pytest.raises(ConfigError, match=message):
        prepare(arguments)


def test_an_option_with_a_packaged_name_is_refused(conf):
    (conf / "env" / "circle.yaml").write_text(GAME)
    with pytest.raises(ConfigError, match=r"circle.yaml: marl_app has a file env/circle.yaml, .* choose another name"):
        prepare(["--config-dir", "my_conf"])


def test_the_jobs_of_a_sweep(conf):
    lines = with_search_path(["+experiment=mine", "env=my_game,tic_tac_toe", "algorithm.gamma=0.9,1"], "my_conf")
    expanded = list(CommandLine(lines, multirun=True).jobs())
    assert [to_config(job).env["_target_"].rpartition(".")[2] for job in expanded] == [
        "Circle",
        "Circle",
        "TicTacToe",
        "TicTacToe",
    ]


def test_a_resumed_run_finds_the_folder_again(conf, record, tmp_path, monkeypatch):
    directory = record(with_search_path(["+experiment=mine", "env.stones=9"], "my_conf"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load(expand([f"resume={directory}", "seed=4"], multirun=False))
    assert (config.name, config.seed, config.env["stones"]) == ("mine", 4, 9)
    exploit = load(expand(["task=exploit", f"run={directory}"], multirun=False))
    assert (exploit.name, exploit.env["stones"]) == ("exploit", 9)


def test_a_folder_that_was_moved_is_given_again(conf, record, tmp_path):
    directory = record(with_search_path(["+experiment=mine"], "my_conf"))
    conf.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=f"resume={directory}: {conf}: no such configuration folder: .*--config-dir"):
        expand([f"resume={directory}"], multirun=False)
    assert load(expand(with_search_path([f"resume={directory}"], "moved"), multirun=False)).name == "mine"

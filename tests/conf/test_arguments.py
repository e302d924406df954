"""Arguments of `_target_` leaves: a wrong path, kind or type is an error of one line that names the key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from omegaconf import OmegaConf
from ray.rllib.callbacks.callbacks import RLlibCallback

from marl_app.assembly.arguments import checked, target
from marl_app.assembly.instantiate import callback, env_factory, leaf, task
from marl_app.assembly.training import build
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.schedule import Schedule
from marl_app.players.modules.actor_critic import Architecture
from marl_app.store.reader import CacheOption
from marl_app.store.store import Store

LATEST = "marl_app.league.matchmakers.latest.Latest"
DISK = "marl_app.store.disk.DiskStore"


class Takes:
    """A class with an argument of each kind."""

    def __init__(
        self,
        first: Any,
        count: int = 1,
        rate: float = 0.5,
        on: bool = False,
        name: str = "x",
        folder: str | Path = ".",
        limit: int | None = None,
        sizes: Sequence[int] = (),
        pair: tuple[str, float] = ("a", 1.0),
        weights: Mapping[str, float] = {},
        mode: Literal["a", "b"] = "a",
        wrong: int = None,  # type: ignore[assignment]  # noqa: RUF013 - as users write it
        unknown: "NotImported" = 5,  # type: ignore[name-defined]  # noqa: F821
        free=3,
        table: np.ndarray | None = None,
    ):
        pass


@dataclass
class Base:
    widths: list[int] = field(default_factory=list)


@dataclass
class Derived(Base):
    depth: int = 1


def takes(**arguments):
    return checked("env", {"_target_": "x", **arguments}, Takes, given=1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", "abc", "env.count=abc is not a whole number"),
        ("count", 1.5, "env.count=1.5 is not a whole number"),
        ("count", float("inf"), "env.count=inf should be a finite number"),
        ("count", None, "env.count=null is not a whole number"),
        ("rate", [1], r"env.rate=\[1\] is not a number"),
        ("on", 2, "env.on=2 is not true or false"),
        ("name", {"a": 1}, "env.name={'a': 1} is not a text"),
        ("folder", [5], r"env.folder=\[5\] is not a text or a path"),
        ("limit", "x", "env.limit=x is not a whole number"),
        ("sizes", 5, r"env.sizes=5 is not a list: give env.sizes=\[5\]$"),
        ("sizes", "abc", "env.sizes=abc is not a list"),
        ("sizes", [1, "x"], "env.sizes.1=x is not a whole number"),
        ("pair", ["a"], r"env.pair.1 is missing in \['a'\]"),
        ("weights", 5, "env.weights=5 is not a mapping"),
        ("weights", {"a": "x"}, "env.weights.a=x is not a number"),
        ("mode", "c", "env.mode=c should be 'a' or 'b'"),
        ("typo", 1, "env.typo: Takes has no such argument; it takes count, rate, "),
        ("first", 1, "env.first: Takes has no such argument"),  # the caller gives it
    ],
)
def test_an_argument_of_another_type_is_named(name, value, expected):
    with pytest.raises(ConfigError, match=f"^{expected}"):
        takes(**{name: value})


def test_what_fits_is_passed_on_as_omegaconf_would():
    given = {"count": 2e6, "rate": 1, "name": 2048, "limit": None, "sizes": [1, 2.0], "pair": ["b", 2], "folder": "f"}
    taken = takes(**given, weights={"a": 1}, wrong=None, unknown="anything", free=[1], table=[[1, 2]])
    assert taken["count"] == 2_000_000 and type(taken["count"]) is int and taken["name"] == "2048"
    assert taken["sizes"] == [1, 2] and taken["pair"] == ("b", 2) and taken["weights"] == {"a": 1}
    # Annotations of a dataclass have the meaning of the module that they are in.
    with pytest.raises(ConfigError, match="model.widths=5 is not a list"):
        checked("model", {"widths": 5}, Derived)
    with pytest.raises(ConfigError, match=r"model.first has no value: give \+model.first="):
        checked("model", {}, Takes)


@pytest.mark.parametrize(
    ("key", "kind", "path", "expected"),
    [
        ("league.matchmaker", Matchmaker, DISK, r"Matchmaker \(it has no branches\(\)\): choose league/matchmaker=..."),
        ("league.schedule", Schedule, LATEST, r"Schedule \(it has no due\(\)\): choose league/schedule=...: alpha"),
        ("store", Store, LATEST, r"Store \(it has no put\(\)\): choose store=...: disk, "),
        ("store", Store, "os.getcwd", r"Store \(it has no put\(\)\)"),  # a function: what it returns
        ("cache", CacheOption, LATEST, r"CacheOption \(it has no start\(\)\): choose cache=...: direct, rack"),
        ("model", Architecture, LATEST, r"Architecture \(it is not derived from Architecture\): choose model=...: "),
        ("callbacks.x", RLlibCallback, LATEST, r"RLlibCallback \(it is not derived .*: choose callbacks=...: alarms, "),
    ],
)
def test_a_class_of_another_kind_is_refused(key, kind, path, expected):
    with pytest.raises(ConfigError, match=f"^{key}._target_={path} is no {expected}"):
        leaf(key, {"_target_": path}, kind)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (LATEST, r"is no BatchedEnv \(it has no acting\(\)\): choose env=...: biased_rps, "),
        ("marl_app.envs.circle.Circl", ": the module marl_app.envs.circle has no Circl. Did you mean Circle"),
        ("marl_app.envs.circle", "is a module: give the path of a class, such as package.module.Class"),
    ],
)
def test_an_environment_that_is_none_is_refused(path, expected):
    with pytest.raises(ConfigError, match=f"^env._target_={path} ?{expected}"):
        env_factory({"_target_": path})


def test_leaves_inside_of_others_are_checked():
    rules = [{"probability": 1, "matchmaker": {"_target_": DISK, "path": "."}}]
    mix = {"_target_": "marl_app.league.matchmakers.mix.Mix", "rules": rules}
    with pytest.raises(ConfigError, match="^league.matchmaker.rules.0.matchmaker._target_=.* is no Matchmaker"):
        leaf("league.matchmaker", mix, Matchmaker)
    rules[0]["matchmaker"] = {"_target_": LATEST, "eta": 1}
    with pytest.raises(ConfigError, match="^league.matchmaker.rules.0.matchmaker.eta: Latest has no such argument"):
        leaf("league.matchmaker", mix, Matchmaker)
    rules[0] = {"probabilty": 1}
    with pytest.raises(
        ConfigError, match="^league.matchmaker: each of the rules has the keys probability, matchmaker, not p"
    ):
        leaf("league.matchmaker", mix, Matchmaker)
    openings = {"_target_": DISK, "path": "."}
    with pytest.raises(ConfigError, match="^env.openings._target_=.* is no Openings .*: give another class"):
        env_factory({"_target_": "marl_app.envs.tic_tac_toe.TicTacToe", "openings": openings})


def test_a_leaf_of_a_record_has_containers_of_omegaconf():
    rules = [{"probability": 1, "matchmaker": {"_target_": LATEST}}]
    recorded = OmegaConf.create({"_target_": "marl_app.league.matchmakers.mix.Mix", "rules": rules})
    assert leaf("league.matchmaker", recorded, Matchmaker).rules[0][0] == 1
    payoff = OmegaConf.create({"_target_": "marl_app.envs.matrix_game.MatrixGame", "payoff": [[0, 1], [-1, 0]]})
    assert env_factory(payoff)(3).num_matches == 3


def test_a_path_may_lead_into_a_class():
    assert target("task", "pathlib.Path.cwd")() == Path.cwd()
    with pytest.raises(ConfigError, match="^task._target_=pathlib.Path.cwdd: the class pathlib.Path has no cwdd. Did"):
        target("task", "pathlib.Path.cwdd")


def test_a_module_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "raises_at_import.py").write_text("{}['rules']\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="env._target_=raises_at_import.Game: importing .* failed: KeyError: 'rules'"):
        env_factory({"_target_": "raises_at_import.Game"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["env=pettingzoo", "env.name=json", "env.kwargs=5"], "env.kwargs=5 is not a mapping"),
        (["env=connect_four", "env.openings.low=x"], "env.openings.low=x is not a whole number"),
    ],
)
def test_arguments_of_environments_and_what_is_inside(line, expected):
    with pytest.raises(ConfigError, match=f"^{expected}"):
        env_factory(load(["+experiment=self_play", *line]).env)


def test_openings_must_be_possible(tmp_path):
    for wrong in ("env.openings.probability=2", "env.openings.low=9"):
        with pytest.raises(ConfigError, match=r"^env.openings: give a probability in \[0, 1\] and 0 <= low <= high"):
            build(load(["+experiment=self_play", "env=tic_tac_toe", wrong], output_dir=str(tmp_path)))


def test_arguments_of_stores_callbacks_and_tasks(tmp_path):
    with pytest.raises(ConfigError, match=r"^store.path=\[5\] is not a text or a path"):
        leaf("store", {"_target_": DISK, "path": [5]}, Store)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="^store: .*file is not a folder"):
        leaf("store", {"_target_": DISK, "path": str(tmp_path / "file")}, Store)
    alarms = {"_target_": "marl_app.callbacks.alarms.WarnOfAlarms", "keep": "x", "thresholds": {}}
    with pytest.raises(ConfigError, match="^callbacks.alarms.keep=x is not a whole number"):
        callback("alarms", alarms, RLlibCallback)
    config = load(["+experiment=self_play"])
    config.task = {"_target_": "os.getcwd", "_partial_": True}
    with pytest.raises(ConfigError, match=r"^task._target_=os.getcwd: .*: give a class with __call__\(config\)"):
        task(config)

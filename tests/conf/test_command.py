"""Paths on the command line: what is quoted for Hydra, and that printed commands can be copied."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from marl_app import load_agent
from marl_app.config.command import command, with_quoted_paths
from tests.evaluation.runs import write_run

PATHS = [
    "runs/league/1",
    "/my runs/a, b",
    "äß/日本",
    "it's",
    "a=b",
    "(1)",
    "x(y)",
    "'quoted'",
    "[1]",
    "{a}",
    "back\\slash",
    "#1;&",
]


def value(overrides):
    """The value that Hydra reads."""
    (override,) = OverridesParser.create().parse_overrides(overrides)
    return override.value()


@pytest.mark.parametrize("path", PATHS)
def test_a_printed_command_gives_the_path_back(path):
    words = shlex.split(command(resume=path))
    assert words[:3] == ["python", "-m", "marl_app"]
    assert value(with_quoted_paths(words[3:], multirun=False)) == path


def test_only_paths_that_need_it_are_quoted(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")

    def changed(override, multirun=False):
        return with_quoted_paths([override], multirun)[0]

    for as_it_is in (
        "run=runs/1",
        "run=null",
        "run='a, b'",
        "run=a\\,b",
        "name=a, b",
        "env.game=go(size=9)",
        "~run",
        "run=",
    ):
        assert changed(as_it_is) == as_it_is
    assert changed("run=a, b") == "run='a, b'"
    assert changed("++hydra.run.dir=~/a") == "++hydra.run.dir=/home/me/a"
    assert changed("init_from=~/ä:main@0003") == "init_from='/home/me/ä:main@0003'"
    assert changed("+league.guests.old=a b:main") == "+league.guests.old='a b:main'"
    assert changed("hydra.run.dir=${name} 1") == "hydra.run.dir='${name} 1'"  # still interpolated
    # A sweep over runs; the directory of the sweep is one.
    assert changed("run=a,~/b", multirun=True) == "run=a,/home/me/b"
    assert changed("hydra.sweep.dir=a,b", multirun=True) == "hydra.sweep.dir='a,b'"


def test_an_agent_is_loaded_from_a_directory_of_any_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my runs, äß").mkdir()
    write_run(tmp_path / "my runs, äß" / "1", pool=(0,))
    for path in ("~/my runs, äß/1", Path("~/my runs, äß/1"), tmp_path / "my runs, äß" / "1"):
        assert load_agent(path, player="main@0000").metadata["player"] == "main"

"""Every command line of the documentation composes: README, docs, conf, docstrings and the Makefile. Nothing is run.

The commands of examples/own_project/README.md are run by tests/test_package.py.
"""

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from marl_app.__main__ import prepare
from marl_app.config import runtime_section
from marl_app.config.compose import compose_job
from marl_app.config.explain import explain
from marl_app.config.machine import Machine
from marl_app.runs.trust import sign

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(f"docs/{page.name}" for page in ROOT.glob("docs/*.md")),
)
CODE = ("marl_app", "envs", "callbacks", "benchmarks")

REFUSED: dict[str, str] = {}
"""The command lines that the documentation shows because they are refused, and a part of the message."""

COMMAND = re.compile(
    r"(?P<tick>`?)python -m marl_app(?=[\s`])(?P<rest>[^`\n]*)|(?P<make>make [\w-]+ ARGS=(\"[^\"]*\"|[\w.=]+))"
)
ARGUMENT = re.compile(r"-{1,2}[a-z]|[+~]|[\w./@]+=")  # how an argument begins; a sentence may follow the last one
RUN = re.compile(r"(?:[\w/]*runs/(?P<name>\w+)/<time>|DIR|OTHER_RUN)(?=$|[:,\]'\"])")  # a run of the reader's


FOLDERS = {"docs/own_game.md": "examples/own_game", "docs/extend.md": "examples/own_project"}
"""The pages whose commands are run in another folder than the checkout."""


def documented():
    """Yield (where it is, text) of everything that may contain a command line."""
    for page in PAGES:
        yield page, (ROOT / page).read_text()
    yield "Makefile", "\n".join(re.findall(r"##.*", (ROOT / "Makefile").read_text()))
    for file in sorted((ROOT / "conf").rglob("*.yaml")):
        if "local" not in file.parts:
            text = file.read_text()
            yield str(file.relative_to(ROOT)), text if "help" in file.parts else re.sub(r"(?m)^[^#\n]*#?", "", text)
    for file in sorted(path for folder in CODE for path in (ROOT / folder).glob("**/*.py")):
        nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, DOCUMENTED)]
        yield str(file.relative_to(ROOT)), "\n".join(ast.get_docstring(node) or "" for node in nodes)


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def commands():
    """{arguments of `python -m marl_app`, or a command of make: the places where it is}."""
    found: dict[str, list[str]] = {}
    for place, text in documented():
        for match in COMMAND.finditer(re.sub(r"\\\n\s*", "", text)):
            found.setdefault(match["make"] or shlex.join(arguments(match["rest"])), []).append(place)
    return found


def arguments(text):
    """The words after `python -m marl_app` that are arguments: no comment, and no sentence that follows."""
    taken = []
    for word in shlex.split(re.split(r"\s#\s|\s{4,}", text)[0].rstrip(").,:")):
        if not ARGUMENT.match(word) and taken[-1:] not in (["--cfg"], ["--config-dir"]):
            break
        taken.append(word.rstrip(","))
        if word.endswith(","):
            break
    return taken


COMMANDS = commands()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The directory of a run of an experiment; for other names, such as that of a sweep, of the league."""
    made, folder = {}, tmp_path_factory.mktemp("runs")

    def directory(name):
        name = name if (ROOT / "conf" / "experiment" / f"{name}.yaml").is_file() else "league"
        if name not in made:
            made[name] = folder / name
            (folder / name / ".hydra").mkdir(parents=True)
            given = [f"+experiment={name}"]
            cfg = compose_job(given, output_dir="${hydra:runtime.output_dir}")
            OmegaConf.save(OmegaConf.create(OmegaConf.to_container(cfg)), folder / name / ".hydra" / "config.yaml")
            OmegaConf.save(given, folder / name / ".hydra" / "overrides.yaml")
            (folder / name / ".hydra" / "hydra.yaml").touch()
            sign(folder / name)
        return str(made[name])

    return directory


@pytest.mark.parametrize("command", [text for text in COMMANDS if not text.startswith("make ")])
def test_a_documented_command_composes(command, runs, monkeypatch):
    folder = ROOT / FOLDERS.get(COMMANDS[command][0], "")
    if "my_project" in command:
        folder = ROOT / "examples" / "own_project"
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))  # as `python -m` does
    monkeypatch.setattr(
        runtime_section, "this_machine", lambda: Machine(64)
    )  # a command for a cluster is not limited by this machine
    place = COMMANDS[command][0]
    line = [RUN.sub(lambda match: runs(match["name"]), word) for word in shlex.split(command)]
    assert "<" not in "".join(line), f"{place}: a placeholder that this test does not know"
    try:
        prepare(line)
    except Exception as error:
        message = explain(error)
        assert command in REFUSED and REFUSED[command] in message, f"{place}: {message}"
    else:
        assert command not in REFUSED, f"{place}: it was to be refused"


TARGETS = ("league", "self-play", "circle", "coop", "contrast", "train")


@pytest.mark.parametrize(
    "command", [*(f"make {target}" for target in TARGETS), *(text for text in COMMANDS if text.startswith("make "))]
)
def test_the_commands_of_make_compose(command, tmp_path):
    # A virtual environment whose python only notes its arguments.
    (tmp_path / "bin").mkdir()
    (tmp_path / ".installed").touch()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" END >> "{tmp_path}/calls"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    folders = [f"{name}={tmp_path}" for name in ("VENV", "TUTORIAL", "COOP", "CONTRAST")]
    command = re.sub(r"<(\w+)>", r"\1", command)  # a placeholder, which a shell would read as a redirection
    subprocess.run([*shlex.split(command), *folders], cwd=ROOT, check=True, capture_output=True, timeout=60)
    calls = (tmp_path / "calls").read_text().split("\0END\0")[:-1]
    assert calls
    for call in calls:
        flag, module, *line = call.split("\0")
        assert flag == "-m"
        for word in line:
            if word.startswith("run="):  # the runs of the command before
                Path(word.removeprefix("run=")).mkdir()
        if module == "marl_app":
            prepare(line)


def test_tensorboard_shows_the_folder_of_all_runs(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / ".installed").touch()
    (tmp_path / "bin" / "tensorboard").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "bin" / "tensorboard").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "MARL_RUNS"}
    for runs in ({}, {"MARL_RUNS": "/shared/my runs"}):
        command = ["make", "-s", "tb", f"VENV={tmp_path}"]
        result = subprocess.run(command, cwd=ROOT, env=environment | runs, check=True, capture_output=True, text=True)
        assert result.stdout == f"--load_fast=false --logdir {runs.get('MARL_RUNS', 'runs')}\n"


def test_nothing_advises_to_install_the_app_from_a_package_index():
    # The name there may be another project's: the app is installed from its checkout.
    texts = dict(documented())
    texts |= {str(file): file.read_text() for folder in CODE for file in (ROOT / folder).glob("**/*.py")}
    for place, text in texts.items():
        assert not re.search(r"pip install[\s\w'\"-]*marl[_-]app", text), place


def test_the_commands_are_found():
    assert len(COMMANDS) > 120
    places = {place for places in COMMANDS.values() for place in places}
    for place in ("README.md", "docs/usage.md", "conf/task/study.yaml", "marl_app/tasks/exploit.py", "Makefile"):
        assert place in places
    assert "-m +experiment=league league/matchmaker=uniform,pfsp,latest seed=1,2" in COMMANDS  # followed by a comment
    assert any("store.options={" in command for command in COMMANDS)  # a line that is continued

"""The wheel: what is in it, and a project outside the checkout that uses it, as in examples/own_project/README.md."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import marl_app

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    "marl_app",
    "hydra_plugins",
    "envs",
    "callbacks",
    "conf",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)
SMALL = {  # what the test adds to a command of the README, so that it ends after seconds
    "+experiment=stones": (
        "stop.iterations=2 algorithm.train_batch_size_per_learner=512 algorithm.minibatch_size=256 "
        "runtime.num_envs_per_env_runner=32 league.schedule.agent_steps=500 evaluation.anchors=[]"
    ),
    "resume=": "stop.iterations=3 runtime.num_env_runners=0",
    "task=evaluate": "task.games=4 task.snapshots=2",
}


def run(command, folder, **environment):
    """Run a command without the checkout on the import path; return its standard output."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    for name in ("PYTHONPATH", "MARL_RUNS"):
        environment.pop(name, None)
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout's sources, with settings of a machine, which must not be packed."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "local")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / "conf" / "local").mkdir()
    (folder / "conf" / "local" / "default.yaml").write_text("# @package _global_\nseed: 1\n")
    return folder


def build(folder, target):
    """The wheel of a source folder, built without the network."""
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(target))
    run([sys.executable, "-m", "pip", "wheel", *flags, str(folder)], folder)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A virtual environment with the wheel; its bin folder.

    It finds the dependencies in the site-packages of this interpreter through a .pth file. Python does not execute the
    .pth files in there, so an editable installation of the checkout is not visible.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    flags = ("--no-deps", "--no-index", "--quiet")
    run([sys.executable, "-m", "pip", "--python", str(python), "install", *flags, str(wheel)], folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return folder / "bin"


@pytest.fixture
def project(tmp_path):
    """The example, copied out of the checkout."""
    shutil.copytree(
        ROOT / "examples" / "own_project", tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", "runs")
    )
    return tmp_path / "project"


def files(wheel):
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_wheel_has_every_module_every_option_and_nothing_else(wheel):
    modules = {
        f"{'' if folder == 'marl_app' else 'marl_app/'}{file.relative_to(ROOT).as_posix()}"
        for folder in ("marl_app", "envs", "callbacks")
        for file in (ROOT / folder).rglob("*.py")
    }
    modules = {re.sub(r"^(marl_app/)+", "marl_app/", name) for name in modules}
    modules |= {file.relative_to(ROOT).as_posix() for file in (ROOT / "hydra_plugins").rglob("*.py")}
    yaml = {f"marl_app/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "conf").rglob("*.yaml")}
    local = {name for name in yaml if name.startswith("marl_app/conf/local/")}
    data = {"marl_app/py.typed", "marl_app/envs/connect_four_solved.txt"}
    data |= {f"marl_app/playing/page.{kind}" for kind in ("html", "css", "js")} | {"marl_app/report/page.html.jinja"}
    assert files(wheel) == modules | yaml - local | data
    assert "marl_app/envs/batched.py" in modules and "marl_app/conf/config.yaml" in yaml


def test_the_source_distribution_builds_the_same_wheel(source, wheel, tmp_path):
    code = f"import setuptools.build_meta as build; build.build_sdist({str(tmp_path)!r})"
    run([sys.executable, "-c", code], source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        opened.extractall(tmp_path, filter="data")
    assert not [name for name in names if "/tests/" in name or "/local/" in name]
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert files(build(unpacked, tmp_path / "wheel")) == files(wheel)


def test_one_version(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"marl_app-{marl_app.__version__}.dist-info/METADATA").decode()
    assert f"\nVersion: {marl_app.__version__}\n" in metadata and "\nRequires-Python: <3.14,>=3.11\n" in metadata
    for name in ("CHANGELOG.md", "CITATION.cff"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.search(rf"^(## \[|version: ){re.escape(marl_app.__version__)}\b", text, re.MULTILINE), name


def test_the_console_command_and_the_module_work_outside_the_checkout(installed, tmp_path):
    code = (
        "import sys, marl_app.envs, marl_app.callbacks as c; print(marl_app.__file__, c.__file__, *sys.path, sep='\\n')"
    )
    (*modules,) = places = run([installed / "python", "-c", code], tmp_path).split()
    assert all(Path(place).is_relative_to(installed.parent) for place in modules[:2])
    assert not [place for place in places if Path(place) == ROOT or (ROOT / "marl_app") in Path(place).parents]
    missing = "import importlib.util as i; print([i.find_spec(name) for name in ('tests', 'benchmarks', 'envs')])"
    assert run([installed / "python", "-c", missing], tmp_path) == "[None, None, None]\n"

    version = run([installed / "marl_app", "--version"], tmp_path)
    assert version.startswith(f"marl_app {marl_app.__version__} (Hydra ")
    by_command = run([installed / "marl_app", "--help"], tmp_path)
    assert by_command == run([installed / "python", "-m", "marl_app", "--help"], tmp_path)
    assert "experiment: alphastar, " in by_command
    wrong = subprocess.run([installed / "marl_app", "env=nim"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.startswith("marl_app: env=nim: ")
    for module in ("config", "metrics"):  # the pages that a checkout has in docs/
        page = run([installed / "python", "-m", f"marl_app.{module}.docs", "--print"], tmp_path)
        assert page == (ROOT / "docs" / f"{module}.md").read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == []


COMPLETE = """
eval "$(marl_app --shell-completion install=bash)"
for line in "$@"; do
    words=($line); COMP_LINE=$line COMP_POINT=${#line} COMP_CWORD=$((${#words[@]} - 1)); hydra_bash_completion
    echo "${COMPREPLY[@]}"
done
"""


def test_bash_completes_groups_options_and_keys(installed, tmp_path):
    lines = (
        "marl_app env=tic",
        "marl_app +experiment=league league/matchmaker=p",
        "marl_app +experiment=league stop.m",
    )
    path = f"{installed}{os.pathsep}{os.environ['PATH']}"
    completed = run([shutil.which("bash"), "-c", COMPLETE, "bash", *lines], tmp_path, PATH=path)
    assert completed.splitlines() == ["env=tic_tac_toe", "league/matchmaker=pfsp", "stop.minutes="]


def test_every_command_of_the_examples_readme(installed, project):
    environment = {"PATH": f"{installed}{os.pathsep}{os.environ['PATH']}"}
    text = (project / "README.md").read_text(encoding="utf-8")
    commands = [line.partition(" #")[0].strip() for line in text.splitlines() if line.startswith("    ")]
    assert [shlex.split(command)[0] for command in commands].count("marl_app") == 3
    outputs = []
    for command in commands:
        runs = sorted(project.glob("runs/stones/*"))
        extra = next((words for key, words in SMALL.items() if key in command), "")
        command = command.replace("runs/stones/<time>", str(runs[-1].relative_to(project)) if runs else "")
        words = shlex.split(f"{command} {extra}")
        outputs.append(run([shutil.which(words[0], path=environment["PATH"]), *words[1:]], project, **environment))
    checked, trained, played, resumed, evaluated = outputs
    assert "every check passed" in checked
    assert "of 16 winning moves found" in trained and "finished after" in trained and ": 2 iterations" in trained
    assert re.fullmatch(r"with 21 stones left the agent takes [123]\n", played)
    assert ": 3 iterations" in resumed
    assert "Cross-play, finished" in evaluated and "main@0000" in evaluated and "Optimal" in evaluated
    (directory,) = project.glob("runs/stones/*")
    recorded = (directory / ".hydra" / "hydra.yaml").read_text()
    assert f"file://{project}/conf" in recorded
    header, *rows = (directory / "log.csv").read_text().splitlines()
    assert header.startswith("iteration,steps/env_steps") and [row.split(",")[0] for row in rows] == ["1", "2", "3"]
    progress = (directory / "progress.jsonl").read_text().splitlines()
    assert progress and all('"custom/winning_moves":' in line for line in progress)

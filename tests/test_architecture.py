"""The rules of docs/architecture.md that code can check; `make lint` checks the import contracts of pyproject.toml."""

import ast
import io
import re
import tokenize
import tomllib
from pathlib import Path

import grimp
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("marl_app", "callbacks", "envs")
MODULES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py") if not file.parent.is_symlink())


def name(file):
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", MODULES, ids=name)
def test_every_module_has_a_docstring(file):
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), f"{name(file)} has no docstring"


def test_modules_and_classes_have_no_catch_all_names():
    for file in MODULES:
        assert not re.search(r"util|common|helper|misc|manager", file.stem), name(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert not re.search(r"Manager|Helper|Utils", node.name), f"{name(file)}: {node.name}"


def test_instantiate_has_one_caller():
    # Hydra 1.4 will require a list of allowed targets, which a single caller can pass.
    callers = [
        name(file)
        for file in MODULES
        if re.search(r"from hydra\.utils import|hydra\.utils\.", file.read_text(encoding="utf-8"))
    ]
    assert callers == ["marl_app/assembly/instantiate.py"]


def test_the_folders_of_conf_mirror_the_code():
    # league/matchmakers/pfsp.py has the option league/matchmaker/pfsp.yaml.
    modules = {file.stem for file in (ROOT / "marl_app" / "league" / "matchmakers").glob("*.py")}
    options = {file.stem for file in (ROOT / "conf" / "league" / "matchmaker").glob("*.yaml")}
    assert modules - {"__init__", "matchmaker", "mix"} <= options
    assert not list((ROOT / "conf").rglob("*.py"))  # a conf package would shadow the folder


def test_the_locks_hold_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    users, dev = ((ROOT / name).read_text().splitlines() for name in ("requirements.lock", "requirements-dev.lock"))
    assert users[0] == "torch==2.13.0"
    for line in (*users, *dev):
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line), "one pinned version a line"
    users, dev = ({normal(line.split("==")[0]) for line in lock} for lock in (users, dev))
    assert not users & dev
    extras = {name: packages(lines) for name, lines in project["optional-dependencies"].items()}
    assert packages(project["dependencies"]) | extras["classic"] | extras["mpe"] <= users
    assert extras["dev"] <= users | dev
    # The tools of a developer are not what a user installs.
    assert not users & {"pytest", "mypy", "ruff", "moto", "boto3", "hypothesis", "import-linter"}


def packages(requirements):
    return {normal(re.match(r"[\w.-]+", line).group()) for line in requirements}


def normal(package):
    return re.sub(r"[-_.]+", "-", package).lower()


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"\.PHONY: (.*)", makefile).group(1).split())
    explained = set(re.findall(r"^([a-z-]+):[^#\n]*## ", makefile, re.MULTILINE))
    assert phony == explained


CALLED_BY_RLLIB = {
    "_create_iterator_if_necessary", "_log_steps_trained_metrics", "_make_modules_ddp_if_necessary", "_setup_logdir",
    "_should_create_evaluation_env_runners",
}  # fmt: skip
"""Private methods that override RLlib's, and that no module of ours calls."""


def test_every_private_function_is_used():
    defined, used = {}, set(CALLED_BY_RLLIB)
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and re.match("_[^_]", node.name):
                defined[node.name] = f"{name(file)}:{node.lineno}: {node.name}"
            elif isinstance(node, ast.Name | ast.Attribute | ast.alias):
                used |= {getattr(node, field) for field in ("id", "attr", "name") if hasattr(node, field)}
    assert [place for private, place in defined.items() if private not in used] == []


FORBIDDEN = re.compile(
    r"\b(whoever|whomever|whom|somebody|nobody|anybody|everybody|reckon(s|ed|ing)?|minds|heard|anew|beside|let go of"
    r"|as far as there (is|are)|so to speak|of its making|goodbye|without a word|speaks? the language)\b",
    re.IGNORECASE,
)
"""Words of a private style: the field has a plain word for each (see the habits in CONTRIBUTING.md)."""
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "examples/**/*.md", "conf/**/*.yaml", "examples/**/*.yaml")
SOURCES = ("marl_app", "callbacks", "envs", "benchmarks", "examples", "tests")


def sentences(file):
    """Yield (line, text) of the docstrings and comments of a Python file, or of all lines of another file."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            yield from enumerate(token.string.splitlines(), token.start[0])


def test_sentences_use_the_words_of_the_field():
    files = [file for pattern in PAGES for file in ROOT.glob(pattern)]
    files += [file for folder in SOURCES for file in (ROOT / folder).rglob("*.py") if not file.parent.is_symlink()]
    found = [
        f"{name(file)}:{line}: {text.strip()}"
        for file in sorted(set(files))
        for line, text in sentences(file)
        if FORBIDDEN.search(text) and "FORBIDDEN" not in text
    ]
    assert not found, "\n".join(found)


def test_there_are_no_import_circles():
    # Lazy and type-only imports count too. A circle is a strongly connected component of more than one module.
    graph = grimp.build_graph("marl_app", exclude_type_checking_imports=False, cache_dir=None)
    modules = sorted(graph.modules)
    number = {module: index for index, module in enumerate(modules)}
    edges = [(number[a], number[b]) for a in modules for b in graph.find_modules_directly_imported_by(a)]
    rows, columns = zip(*edges, strict=True)
    matrix = csr_array((np.ones(len(edges)), (rows, columns)), shape=(len(modules), len(modules)))
    _, component = connected_components(matrix, directed=True, connection="strong")
    together = {}
    for module, label in zip(modules, component.tolist(), strict=True):
        together.setdefault(label, []).append(module)
    assert [circle for circle in together.values() if len(circle) > 1] == []

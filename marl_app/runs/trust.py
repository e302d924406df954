"""Whose run is it? The files of a run are data: only the runs of this user may name classes to import.

A run records the import paths of its classes, and so do its saved players. marl_app's options are known by name and are
always made. Any other class is code, which a run from elsewhere could choose. It is imported only

- for a run that this user started: its record is signed with a key of the user (HMAC-SHA256), see `sign`;
- if the command line names it, or an option in a folder that the command line names;
- with `trust=true`.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from marl_app.config.flatten import flatten
from marl_app.config.renamed import current_path
from marl_app.durable import write_durably
from marl_app.runs.regular_file import read_regular

logger = logging.getLogger(__name__)

CONF = Path(__file__).parents[1] / "conf"
RECORD, SIGNATURE = ".hydra", "signature"
RECORDED = ("config.yaml", "hydra.yaml", "overrides.yaml")
"""The files of a record that are signed."""
STARTS = "starts.jsonl"
"""The file of a record with a line for each start of the run, which nothing but a report reads."""
MOST_BYTES = 2**22
"""Size of a file of a record beyond which it is refused."""
GAMES = ("pettingzoo.", "mpe2.")
"""Packages whose modules are names of environments (`env.name`), not classes that a run chooses to import."""
_NAMES = ("name", "output_dir", "resume", "run")  # keys whose values may look like import paths
_PATH = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"  # an import path: identifiers with dots between them
_RESOLVER = r"\$\{\s*[\w.]+\s*:"  # an interpolation that calls a function, such as ${oc.env:TOKEN}


class UntrustedRunError(ValueError):
    """A run that this user did not start would import classes; the message names them and the fix."""


def sign(run: Path) -> None:
    """Sign the record of a run, which this user starts. Without a key, which it warns of, the run stays unsigned."""
    folder = run / RECORD
    try:
        _make_key()
        write_durably(folder / SIGNATURE, _signature(folder).encode())
    except OSError as error:
        logger.warning(
            "the run cannot be signed as yours (%s): resuming it with classes of your own needs trust=true", error
        )


def is_own(run: Path) -> bool:
    """Return whether this user started the run, and its record is as it was written."""
    folder = run / RECORD
    try:
        # Compared in constant time, whatever the number of equal characters.
        return hmac.compare_digest(read_regular(folder / SIGNATURE, 100).decode(), _signature(folder))
    except (OSError, ValueError):
        return False


def _signature(folder: Path) -> str:
    """Return the signature of a record as it is now. Raises OSError, also without a key, and ValueError."""
    # Name and length before each content, so that two different records never give the same bytes.
    digest = hmac.new(_key_file().read_bytes(), digestmod=hashlib.sha256)
    for name in RECORDED:
        content = read_regular(folder / name, MOST_BYTES)
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _key_file() -> Path:
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "marl_app" / "key"


def _make_key() -> None:
    """Make the user's key, unless there is one. Raises OSError if it cannot be written."""
    file = _key_file()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        # Written to another name, then linked: a link appears whole, and does not replace a key that is there.
        temporary = file.with_name(f".key-{os.getpid()}")
        temporary.write_bytes(secrets.token_bytes(32))
        temporary.chmod(0o600)
        with suppress(FileExistsError):  # another process was first: its key counts
            os.link(temporary, file)
        temporary.unlink()


def refuse_foreign_imports(run: Path, config: Mapping[str, Any], trust: bool, named: Iterable[str] = ()) -> None:
    """Refuse a configuration of a run that this user did not start, if it would import code; see the module.

    config: as recorded, or composed from what is recorded. named: texts that the user gave, in which a path is allowed.
    With `trust` the imports are printed and allowed. Raises UntrustedRunError.
    """
    if is_own(run):
        return
    given = "\n".join(named)
    # A path that stands in what the user gave is the user's choice.
    found = {key: path for key, path in foreign_imports(config).items() if path not in given}
    if not found:
        return
    imports = ", ".join(f"{path} ({key})" for key, path in found.items())
    if not trust:
        raise UntrustedRunError(
            f"{run} was not started here by you, and would import {imports}: give trust=true if you trust this code"
        )
    print(f"trust=true: {run} imports {imports}", flush=True)


def foreign_imports(config: Mapping[str, Any]) -> dict[str, str]:
    """Return key -> import path or resolver, for everything in a configuration that could run code of others."""
    known = _options()
    found = {}
    # Foreign: a text that calls a function when it is resolved, or an import path that no option of its group has.
    for key, value in _texts(config):
        path, group = current_path(value), key.partition(".")[0]
        is_game = key == "env.name" and path.startswith(GAMES)
        if re.search(_RESOLVER, value) and key not in _NAMES:
            found[key] = value
        elif re.fullmatch(_PATH, path) and key not in _NAMES and (group, path) not in known and not is_game:
            found[key] = path
    return found


def _texts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the value of every string, also of those in lists."""
    for key, value in flatten(config):
        for item in _leaves(value):
            if isinstance(item, str):
                yield key, item


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        # Keys are texts of the record as well.
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _options() -> set[tuple[str, str]]:
    """Return (group, class) of every class that an option in `conf/` names; group: callbacks, env, league, ..."""
    found = {
        (file.relative_to(CONF).parts[0], path)
        for file in CONF.rglob("*.yaml")
        for path in re.findall(r"_target_:\s*([\w.]+)", file.read_text(encoding="utf-8"))
    }
    return found | {("task", path) for group, path in found if group == "league"}  # a simulation compares several


class _Loader(yaml.SafeLoader):
    """YAML as Hydra reads and writes it: 1e-05 is a number, which plain YAML 1.1 takes for a text.

    Without aliases, which Hydra does not write: lists of lists of aliases grow without bound when they are walked.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def recorded_config(run: Path) -> dict[str, Any]:
    """Return the recorded configuration of a run, not resolved; {} without one. Raises ValueError if it is damaged."""
    content = read_yaml(run / RECORD / "config.yaml")
    return content if isinstance(content, dict) else {}


def read_yaml(file: Path) -> Any:
    """Return the content of a file of a record; None without one. Raises ValueError, in one line, if it is damaged."""
    if not file.exists():
        return None
    try:
        return yaml.load(read_regular(file, MOST_BYTES), _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def import_classes(run: Path, paths: Iterable[str], trust: bool) -> None:
    """Import the modules of the classes that a run's players name, as far as the run may name them.

    For a run of this user these are the packages that its configuration names; with `trust` all, which are printed. A
    class that is not imported here, and not by the program itself, is refused when the player is made
    (`players/imports.py`).
    """
    own = is_own(run)
    # Only the configuration of a run of this user names packages to trust.
    packages = {path.partition(".")[0] for path in foreign_imports(recorded_config(run)).values() if own}
    # Other classes are left alone: the player that needs one is refused when it is made.
    for path in paths:
        module = str(path).rpartition(".")[0]
        if not module or not (trust or module.partition(".")[0] in packages):
            continue
        if not own and module not in sys.modules:
            print(f"trust=true: {run} imports {module}", flush=True)
        with suppress(ImportError):
            importlib.import_module(module)

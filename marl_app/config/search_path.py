"""The configuration folders of a user's project: `--config-dir FOLDER` and `hydra.searchpath=[file://FOLDER]`.

Hydra searches an option in `marl_app/conf` first, then in these folders. Both ways to name them become one override
`hydra.searchpath` with absolute paths, which Hydra records in `.hydra/hydra.yaml`, so a run resumes from any folder.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from marl_app.config.errors import ConfigError
from marl_app.config.tree import CONF

SEARCH_PATH = "hydra.searchpath"


def with_search_path(overrides: Sequence[str], config_dir: str | None = None) -> list[str]:
    """Return the overrides with one `hydra.searchpath`, which joins `config_dir` and the override, with absolute paths.

    Raises ConfigError if a folder does not exist or has an option that is also in `marl_app/conf`, and Hydra's errors
    for overrides that cannot be parsed.
    """
    # The folder of `--config-dir` comes first: Hydra takes the first folder that has an option.
    entries = [] if config_dir is None else [f"file://{config_dir}"]
    others = []
    for line, override in zip(overrides, OverridesParser.create().parse_overrides(list(overrides)), strict=True):
        if override.get_key_element() == SEARCH_PATH:
            entries += _entries(override)
        else:
            others.append(line)
    if not entries:
        return list(overrides)
    for entry in entries:
        _check(entry)
    return [as_override([_absolute(entry) for entry in entries]), *others]


def as_override(entries: Sequence[str]) -> str:
    """Return the override `hydra.searchpath` with these entries."""
    return f"{SEARCH_PATH}=[{','.join(map(quoted, entries))}]"


def quoted(text: str) -> str:
    """Return a quoted string of Hydra's override grammar. Only a backslash before a quote needs an escape."""
    escaped = text.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"'{escaped}'"


def user_folders(overrides: Sequence[str]) -> list[Path]:
    """Return the folders of the override `hydra.searchpath`; [] without it."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    found = [override for override in parsed if override.get_key_element() == SEARCH_PATH]
    return [folder for override in found for entry in _entries(override) if (folder := folder_of(entry)) is not None]


def folder_of(entry: str) -> Path | None:
    """Return the folder of an entry: `file://FOLDER`, `FOLDER` or `pkg://package.folder`; None without the package."""
    scheme, _, rest = entry.rpartition("://")
    # A path, or a file:// address.
    if scheme != "pkg":
        return Path(rest).expanduser()
    # A folder in an installed package: pkg://package.folder.
    package, *folders = rest.split("/")[0].split(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], *folders, *rest.split("/")[1:])


def _entries(override: Override) -> list[str]:
    value = override.value()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ConfigError(f"{override.input_line}: give a list of folders: '{SEARCH_PATH}=[file://FOLDER]'")
    return [str(entry) for entry in value]


def _absolute(entry: str) -> str:
    return f"file://{(folder_of(entry) or Path()).absolute()}"


def _check(entry: str) -> None:
    folder = folder_of(entry)
    if folder is None or not folder.is_dir():
        name = entry.removeprefix("file://")
        raise ConfigError(f"{name}: no such configuration folder: give one that exists with --config-dir=FOLDER")
    if folder.resolve() == CONF.resolve():
        return
    # Hydra would never find an option of that name, because it searches `conf/` first. `local` is meant to be replaced.
    for file in sorted(folder.rglob("*.yaml")):
        option = file.relative_to(folder)
        if option.parts[0] != "local" and (CONF / option).is_file():
            raise ConfigError(f"{file}: marl_app has a file {option}, which would be used instead: choose another name")

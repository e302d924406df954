"""The choices of a user: the groups and options of `conf/`, and every key that can be set."""

from __future__ import annotations

import importlib
import re
import types
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf

from marl_app.config.algorithms import AlgorithmSettings
from marl_app.config.errors import ConfigError, first_line
from marl_app.config.flatten import flatten
from marl_app.config.schema import Config

CONF = Path(__file__).parents[1] / "conf"
FOLDERS = [CONF]
"""Folders of options: `conf/`, then the user's folders (`hydra.searchpath`) of the latest composition."""
ADDED_GROUPS = ("experiment", "sweep", "debug")  # not in the defaults list: added with a plus


@dataclass(frozen=True)
class Key:
    """A key of the schema.

    `path` is dotted; `type` is without `| None`; `optional`: null is allowed; `section` is the class that declares the
    field. The keys of all families of algorithms are keys of the schema.
    """

    path: str
    type: Any
    optional: bool
    field: Field[Any]
    section: type

    @property
    def kind(self) -> str:
        """The type in words, with its article."""
        if is_dataclass(self.type):
            return "a group of keys"
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", list: "a list"}
        return words.get(get_origin(self.type) or self.type, "a mapping")


def schema_keys(section: type = Config, path: str = "") -> Iterator[Key]:
    """Yield every key of the schema in the order of the dataclasses, sections before their keys.

    `<name>` in a path stands for a name that the user chooses.
    """
    hints = get_type_hints(section)
    for item in fields(section):
        hint, optional = hints[item.name], False
        # `X | None` is an optional X.
        if get_origin(hint) in (types.UnionType, Union):
            hint, optional = next(a for a in get_args(hint) if a is not type(None)), True
        yield Key(f"{path}{item.name}", hint, optional, item, section)
        if is_dataclass(hint):
            assert isinstance(hint, type)
            yield from schema_keys(hint, f"{path}{item.name}.")
            # The keys that all algorithms share are followed by those of each family.
            for family in algorithm_families().values() if hint is AlgorithmSettings else ():
                yield from _added_keys(family, f"{path}{item.name}.")
        elif entry := item.metadata.get("entries"):
            yield Key(f"{path}{item.name}.<name>", entry, False, item, entry)
            yield from schema_keys(entry, f"{path}{item.name}.<name>.")


def _added_keys(family: type[AlgorithmSettings], path: str) -> Iterator[Key]:
    """Yield the keys that a family declares itself, without those of the class that it is derived from."""
    inherited = {item.name for base in family.__mro__[1:] if is_dataclass(base) for item in fields(base)}
    return (key for key in schema_keys(family, path) if key.field.name not in inherited)


def algorithm_families() -> dict[str, type[AlgorithmSettings]]:
    """Return option -> settings class: for each class that options of `algorithm` name, the alphabetically first.

    Raises ConfigError for a class that cannot be imported.
    """
    families: dict[str, type[AlgorithmSettings]] = {}
    # The settings class is an entry of the option's defaults list: `/package.module.Class@_here_`.
    for file in sorted(_files("algorithm")):
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        entries = [re.fullmatch(r"/([\w.]+)@_here_", str(entry)) for entry in content.get("defaults", [])]
        named = next(filter(None, entries), None)
        if named is None:
            continue  # an option that begins with another option, as mappo with ippo
        module, _, name = named[1].rpartition(".")
        try:
            family = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"algorithm={file.stem}: {named[1]} cannot be imported: {first_line(error)}") from error
        if not (isinstance(family, type) and issubclass(family, AlgorithmSettings)):
            raise ConfigError(f"algorithm={file.stem}: {named[1]} is not a subclass of AlgorithmSettings")
        if "__dataclass_fields__" not in vars(family):
            raise ConfigError(f"algorithm={file.stem}: {named[1]} is not decorated with @dataclass")
        if family not in families.values():
            families[file.stem] = family
    return families


def groups() -> list[str]:
    """Return the groups of all folders as written on the command line: env, league/matchmaker, ...; without Hydra's."""
    found = {file.parent.relative_to(folder).as_posix() for folder in FOLDERS for file in folder.rglob("*.yaml")}
    return sorted(group for group in found if group not in (".", "local") and not group.startswith("hydra"))


def options(group: str) -> list[str]:
    """Return the options of a group, sorted; [] for an unknown group."""
    return sorted({file.stem for file in _files(group)})


def all_keys() -> set[str]:
    """Return every dotted key: those of the schema, and those that the options of a `_target_` leaf set."""
    known = {key.path for key in schema_keys()}
    for group in groups():
        if group in ADDED_GROUPS:
            continue
        for file in _files(group):
            # An option sets keys below its group, unless its file begins with `# @package _global_`.
            path = "" if "# @package _global_" in file.read_text() else f"{group.replace('/', '.')}."
            content = OmegaConf.to_container(OmegaConf.load(file))
            assert isinstance(content, dict)
            content.pop("defaults", None)
            # An empty mapping counts as a key (`bool` is False for it), because entries may be added to it.
            for key, _ in flatten(content, path, bool):
                parts = key.split(".")
                known |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}  # with its sections
    return known


def _files(group: str) -> Iterator[Path]:
    return (file for folder in FOLDERS for file in (folder / group).glob("*.yaml"))

"""What there is to choose from: the groups and options of `conf/`, and every key that can be set."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf

from marl_app.config.schema import Config

CONF = Path(__file__).parents[1] / "conf"
FOLDERS = [CONF]
"""The folders that options are read from: `conf/`, then the `hydra.searchpath` of the latest composition."""
ADDED_GROUPS = ("experiment", "sweep", "debug")  # not in the defaults list: chosen with a +


@dataclass(frozen=True)
class Key:
    """A key of the schema: its dotted path, its type (without `| None`), whether null is allowed, its field, and the
    section that has it. A section with subclasses is a choice: the keys of all of them are keys of the schema."""

    path: str
    type: Any
    optional: bool
    field: Field[Any]
    section: type

    @property
    def kind(self) -> str:
        """The type, in words."""
        if is_dataclass(self.type):
            return "a group of keys"
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", list: "a list"}
        return words.get(get_origin(self.type) or self.type, "a mapping")


def schema_keys(section: type = Config, path: str = "") -> Iterator[Key]:
    """Every key of the schema, sections before their keys, in the order of the page; `<name>` is the user's choice."""
    hints = get_type_hints(section)
    for item in fields(section):
        hint, optional = hints[item.name], False
        if get_origin(hint) in (types.UnionType, Union):
            hint, optional = next(a for a in get_args(hint) if a is not type(None)), True
        yield Key(f"{path}{item.name}", hint, optional, item, section)
        if is_dataclass(hint):
            assert isinstance(hint, type)
            yield from schema_keys(hint, f"{path}{item.name}.")
            for choice in hint.__subclasses__():
                yield from _added_keys(choice, hint, f"{path}{item.name}.")
        elif entry := item.metadata.get("entries"):
            yield Key(f"{path}{item.name}.<name>", entry, False, item, entry)
            yield from schema_keys(entry, f"{path}{item.name}.<name>.")


def _added_keys(section: type, base: type, path: str) -> Iterator[Key]:
    """The keys that a section has beside those of its base."""
    inherited = {item.name for item in fields(base)}
    return (key for key in schema_keys(section, path) if key.field.name not in inherited)


def groups() -> list[str]:
    """The groups of `conf/` and of the user's folders, as they are chosen: env, league/matchmaker, ... (without
    Hydra's own)."""
    found = {file.parent.relative_to(folder).as_posix() for folder in FOLDERS for file in folder.rglob("*.yaml")}
    return sorted(group for group in found if group not in (".", "local") and not group.startswith("hydra"))


def options(group: str) -> list[str]:
    """The options of a group; empty if there is no such group."""
    return sorted({file.stem for file in _files(group)})


def all_keys() -> set[str]:
    """Every dotted key: those of the schema, and those that the options of a `_target_` leaf set."""
    known = {key.path for key in schema_keys()}
    for group in groups():
        if group in ADDED_GROUPS:
            continue
        for file in _files(group):
            path = "" if "# @package _global_" in file.read_text() else f"{group.replace('/', '.')}."
            known |= set(_flat(OmegaConf.to_container(OmegaConf.load(file)), path))
    return known


def _files(group: str) -> Iterator[Path]:
    return (file for folder in FOLDERS for file in (folder / group).glob("*.yaml"))


def _flat(content: Any, path: str) -> Iterator[str]:
    for name, value in content.items():
        if name != "defaults":
            yield f"{path}{name}"
            if isinstance(value, dict):
                yield from _flat(value, f"{path}{name}.")

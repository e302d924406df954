"""`resume=DIR`: the command line of a recorded run, with what is given now on top.

A run directory holds the overrides that it was started with and the configuration that they gave. The overrides are
repeated, so that a group can still be chosen anew (`resume=DIR runtime=gpu`). Where `conf/` has changed since, they no
longer give the recorded configuration; the recorded values are then added as overrides of their own.

`task=exploit run=DIR`: a run of its own, with the command line of the recorded one, but for when that ended and what it
was called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from marl_app.config.compose import compose_job
from marl_app.config.errors import ConfigError
from marl_app.config.search_path import SEARCH_PATH, as_override, quoted, with_search_path
from marl_app.config.tree import schema_keys

_SET_ANEW = ("resume", "output_dir")
_FROM_A_RUN = ("exploit",)  # tasks that take over the configuration of run=DIR
_NOT_TAKEN_OVER = r"(stop|task|sweep|hydra(?!\.searchpath))([./].*)?|run|name|resume|output_dir"


def expand(overrides: Sequence[str], multirun: bool) -> list[str]:
    """The overrides of the whole run if one of them is `resume=DIR`, or a task that takes over a run's configuration;
    else the overrides as they are.

    Raises ConfigError if there is no run in DIR, and Hydra's errors for overrides that cannot be read.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    resumes, runs, tasks = (_given(parsed, name) for name in ("resume", "run", "task"))
    if not resumes and runs and tasks and tasks[-1].value() in _FROM_A_RUN:
        return _taken_over(overrides, parsed, runs[-1], str(tasks[-1].value()))
    if not resumes:
        return list(overrides)
    given = str(resumes[-1].input_line)
    if multirun or resumes[-1].is_sweep_override():
        raise ConfigError(f"{given}: a resumed run is one run: leave out -m and give one directory")
    directory = Path(str(resumes[-1].value())).expanduser().resolve()
    merged = _merged(_recorded(directory, given, overrides), overrides, parsed)
    merged["resume"] = f"resume={quoted(str(directory))}"
    merged["hydra.run.dir"] = f"hydra.run.dir={quoted(str(directory))}"
    merged["hydra.mode"] = "hydra.mode=RUN"  # the run may have been one of a sweep
    return list(merged.values())


def _given(parsed: Sequence[Override], name: str) -> list[Override]:
    """The overrides of a key that have a value."""
    return [one for one in parsed if one.key_or_group == name and one.value() is not None]


def _taken_over(overrides: Sequence[str], parsed: Sequence[Override], run: Override, task: str) -> list[str]:
    """The overrides of a new run with the configuration of a recorded one, and what is given now on top."""
    given = str(run.input_line)
    if run.is_sweep_override():
        raise ConfigError(f"{given}: task={task} takes over one run: give one directory")
    recorded = _recorded(Path(str(run.value())).expanduser().resolve(), given, overrides)
    kept = [
        line
        for line, override in zip(recorded, _parse(recorded), strict=True)
        if not re.fullmatch(_NOT_TAKEN_OVER, _name(override))
    ]
    return list(_merged([*kept, f"name={task}"], overrides, parsed).values())


def _merged(recorded: Sequence[str], overrides: Sequence[str], parsed: Sequence[Override]) -> dict[str, str]:
    """Both, by key; of two for the same key the later one."""
    merged: dict[str, str] = {}
    for line, override in [*zip(recorded, _parse(recorded), strict=True), *zip(overrides, parsed, strict=True)]:
        merged[_name(override)] = str(line)
    return merged


def _recorded(directory: Path, given: str, now: Sequence[str]) -> list[str]:
    """The overrides of the run in the directory, followed by what is needed to get its configuration again.

    If the run has options from a user's folder they begin with `hydra.searchpath`, from `now` or else as recorded.
    """
    files = [directory / ".hydra" / name for name in ("overrides.yaml", "config.yaml")]
    if not directory.is_dir():
        raise ConfigError(f"{given}: there is no such directory: give the directory of a run, e.g. runs/league/<time>")
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{given}: no run has been in this directory ({file.relative_to(directory)} is missing)")
    try:
        overrides, config = [OmegaConf.load(file) for file in files]
    except Exception as error:
        raise ConfigError(f"{given}: the recorded configuration in .hydra/ cannot be read") from error
    lines = [*_search_path(directory, given, now), *(str(line) for line in overrides)]
    assert isinstance(config, DictConfig)
    return [*lines, *_differences(config, compose_job(lines))]


def _search_path(directory: Path, given: str, now: Sequence[str]) -> list[str]:
    """Return the override `hydra.searchpath` from `now`, or else from the run's record; an empty list without both."""
    lines = [line for line, override in zip(now, _parse(now), strict=True) if _name(override) == SEARCH_PATH]
    file = directory / ".hydra" / "hydra.yaml"
    if lines or not file.is_file():
        return lines
    entries = OmegaConf.select(OmegaConf.load(file), SEARCH_PATH) or []
    try:
        return with_search_path([as_override(entries)]) if entries else []
    except ConfigError as error:
        raise ConfigError(f"{given}: {error}") from error


def _differences(recorded: DictConfig, composed: DictConfig) -> Iterator[str]:
    """Overrides that turn the composed configuration into the recorded one, as far as its keys still exist."""
    now = dict(_flat(OmegaConf.to_container(composed)))
    sections = {key.path for key in schema_keys()}
    leaves = tuple(f"{key.path}." for key in schema_keys() if key.kind == "a mapping")
    for key, value in _flat(OmegaConf.to_container(recorded)):
        known = key in sections or key.startswith(leaves)
        if known and key not in _SET_ANEW and (key not in now or now[key] != value):
            yield f"++{key}={_text(value)}"


def _flat(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a mapping whose keys are no identifiers is a value."""
    for name, value in content.items():
        if isinstance(value, dict) and value and all(re.fullmatch(r"[A-Za-z_]\w*", str(key)) for key in value):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _text(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _parse(lines: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(lines))


def _name(override: Override) -> str:
    return override.get_key_element().lstrip("+~")

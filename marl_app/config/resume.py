"""`resume=DIR`: the overrides of a recorded run, followed by those given now.

A run directory has the overrides that the run was started with and the configuration that they composed to. The
overrides are repeated, so that a group can still be changed (`resume=DIR runtime=gpu`). If `conf/` has changed since,
they no longer compose to the recorded configuration; the recorded values are then added as further overrides.

`task=exploit run=DIR`: a new run with the overrides of the recorded run, except for its limits, task and name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from marl_app.config.compose import compose_job
from marl_app.config.errors import ConfigError
from marl_app.config.flatten import flatten
from marl_app.config.newer_keys import newer_keys
from marl_app.config.renamed import current_path
from marl_app.config.search_path import SEARCH_PATH, as_override, quoted, user_folders, with_search_path
from marl_app.config.tree import schema_keys
from marl_app.runs.regular_file import read_regular
from marl_app.runs.trust import MOST_BYTES, UntrustedRunError, is_own, read_yaml, refuse_foreign_imports

_NOT_RESTORED = ("resume", "output_dir", "trust")  # set for every run
_TASKS_FROM_A_RUN = ("exploit",)  # tasks that start from the configuration of run=DIR
_NOT_INHERITED = r"(stop|task|sweep|hydra(?!\.searchpath))([./].*)?|run|name|resume|output_dir|trust"


def expand(overrides: Sequence[str], multirun: bool) -> list[str]:
    """Return the overrides with those of the recorded run before them, for `resume=DIR` and tasks such as exploit.

    Other overrides are returned unchanged. Raises ConfigError if DIR has no recorded run, and Hydra's errors for
    overrides that cannot be parsed.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    # Of several overrides of a key Hydra takes the last.
    resumes, runs, tasks = (_given(parsed, name) for name in ("resume", "run", "task"))
    if not resumes and runs and tasks and tasks[-1].value() in _TASKS_FROM_A_RUN:
        return _inherited(overrides, parsed, runs[-1], str(tasks[-1].value()))
    if not resumes:
        return list(overrides)
    # `resume=DIR`.
    given = str(resumes[-1].input_line)
    if multirun or resumes[-1].is_sweep_override():
        raise ConfigError(f"{given}: a resumed run is one run: leave out -m and give one directory")
    directory = Path(str(resumes[-1].value())).expanduser().resolve()
    merged = _merged(_recorded(directory, given, overrides), overrides, parsed)
    _refuse_foreign_imports(directory, given, merged, overrides, parsed)
    # What the record says of these keys is replaced: the directory may have been moved.
    merged["resume"] = f"resume={quoted(str(directory))}"
    merged["hydra.run.dir"] = f"hydra.run.dir={quoted(str(directory))}"
    merged["hydra.mode"] = "hydra.mode=RUN"  # the recorded run may be a job of a sweep
    return list(merged.values())


def _given(parsed: Sequence[Override], name: str) -> list[Override]:
    """Return the overrides of a key whose value is not null."""
    return [override for override in parsed if override.key_or_group == name and override.value() is not None]


def _inherited(overrides: Sequence[str], parsed: Sequence[Override], run: Override, task: str) -> list[str]:
    """Return the overrides of a new run: the inherited ones of a recorded run, followed by those given now."""
    given = str(run.input_line)
    if run.is_sweep_override():
        raise ConfigError(f"{given}: task={task} starts from one run: give one directory")
    directory = Path(str(run.value())).expanduser().resolve()
    recorded = _recorded(directory, given, overrides)
    kept = [
        line
        for line, override in zip(recorded, _parse(recorded), strict=True)
        if not re.fullmatch(_NOT_INHERITED, _name(override))
    ]
    merged = _merged([*kept, f"name={task}"], overrides, parsed)
    _refuse_foreign_imports(directory, given, merged, overrides, parsed)
    return list(merged.values())


def _refuse_foreign_imports(
    run: Path, given: str, merged: Mapping[str, str], overrides: Sequence[str], parsed: Sequence[Override]
) -> None:
    """Raise ConfigError if a run of someone else would import code that the command line does not name."""
    if is_own(run):
        return
    trust = bool(_given(parsed, "trust") and _given(parsed, "trust")[-1].value())
    # An option in a folder that the user names may name classes too.
    options = [file.read_text() for folder in user_folders(overrides) for file in folder.rglob("*.yaml")]
    config = OmegaConf.to_container(compose_job(list(merged.values())))
    assert isinstance(config, dict)
    try:
        refuse_foreign_imports(run, {str(key): value for key, value in config.items()}, trust, [*overrides, *options])
    except UntrustedRunError as error:
        raise ConfigError(f"{given}: {error}") from error


def _merged(recorded: Sequence[str], overrides: Sequence[str], parsed: Sequence[Override]) -> dict[str, str]:
    """Return recorded and given overrides by key; for the same key the later one replaces the earlier.

    A deletion (`~key`) takes back what recorded overrides have added at or below the key; if there was nothing else, it
    is dropped, because Hydra refuses to delete what does not exist.
    """
    merged: dict[str, str] = {}
    added: set[str] = set()  # keys of `merged` whose override adds them
    for line, override in [*zip(recorded, _parse(recorded), strict=True), *zip(overrides, parsed, strict=True)]:
        name = _name(override)
        if override.is_delete():
            below = {other for other in added if other == name or other.startswith(f"{name}.")}
            for other in below:
                del merged[other]
            added -= below
            if below and not _exists(name, merged.values()):
                continue
        elif override.is_add() or override.is_force_add():
            added.add(name)
        merged[name] = str(line)
    return merged


def _exists(key: str, overrides: Iterable[str]) -> bool:
    """Return whether the configuration that these overrides compose to has a key."""
    return OmegaConf.select(compose_job([*overrides]), key) is not None


def _recorded(directory: Path, given: str, now: Sequence[str]) -> list[str]:
    """Return the overrides recorded in a run directory, followed by those that restore its configuration exactly.

    For a run with options of the user's folders they begin with `hydra.searchpath`, from `now` or else as recorded.
    """
    files = [directory / ".hydra" / name for name in ("overrides.yaml", "config.yaml")]
    if not directory.is_dir():
        raise ConfigError(f"{given}: no such directory: give the directory of a run, such as runs/league/<time>")
    for file in files:
        if not file.is_file():
            raise ConfigError(
                f"{given}: not the directory of a run ({file.relative_to(directory)} is missing): give another"
            )
    # Where a run writes: through a link the files of the run would change others.
    for part in (directory / ".hydra", directory / "marl_app.log"):
        if part.is_symlink():
            raise ConfigError(f"{given}: {part.name} is a link, which a run does not follow: put the file in its place")
    try:
        overrides, config = [_read(file) for file in files]
        if not isinstance(overrides, ListConfig) or not isinstance(config, DictConfig):
            raise ValueError("a list of overrides and a mapping were expected")
    except Exception as error:
        raise ConfigError(
            f"{given}: the recorded configuration in .hydra/ cannot be read: give another directory"
        ) from error
    recorded = [str(line) for line in overrides]
    # Whether a run is trusted is not its own choice. Hydra's settings are not in its list of overrides of the task.
    kept = [
        line
        for line, override in zip(recorded, _parse(recorded), strict=True)
        if not re.fullmatch(r"trust|hydra([./].*)?", _name(override))
    ]
    folders = _search_path(directory, given, now)
    lines = [*folders, *kept]
    # Today's composition of the recorded overrides, and the recorded configuration: what differs is added as overrides.
    assert isinstance(config, DictConfig)
    before, composed = dict(_flatten(config)), dict(_flatten(compose_job(lines)))
    newer = newer_keys(before, composed, folders, _recorded_choice(directory, "algorithm"))
    as_before = [f"++{key}={text_of(value)}" for key, value in newer.items()]
    return [*lines, *_differences(before, composed), *as_before]


def _search_path(directory: Path, given: str, now: Sequence[str]) -> list[str]:
    """Return the override of `hydra.searchpath` given now, or else the recorded one; [] without either."""
    lines = [line for line, override in zip(now, _parse(now), strict=True) if _name(override) == SEARCH_PATH]
    file = directory / ".hydra" / "hydra.yaml"
    # A folder that is given now replaces the recorded ones, which may have moved.
    if lines or not file.is_file():
        return lines
    entries = OmegaConf.select(OmegaConf.create(read_regular(file, MOST_BYTES).decode()), SEARCH_PATH) or []
    if entries and not is_own(directory):
        raise ConfigError(
            f"{given}: this run was not started here by you, and has options in {', '.join(map(str, entries))}: give "
            "the folder with --config-dir if you trust it"
        )
    try:
        return with_search_path([as_override(entries)]) if entries else []
    except ConfigError as error:
        raise ConfigError(f"{given}: {error}") from error


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield overrides that turn the composed configuration into the recorded one; removed keys are skipped.

    A leaf that is another class now, such as `model` after a change of its default, loses the arguments of that class.
    """
    sections = {key.path for key in schema_keys()}
    # Keys below a leaf or another free mapping are not in the schema: their names are not checked.
    leaves = tuple(f"{key.path}." for key in schema_keys() if key.kind == "a mapping")
    # Arguments that only the class of today has are deleted.
    for leaf in leaves:
        target = f"{leaf}_target_"
        if target in before and target in now and current_path(before[target]) != now[target]:
            yield from (f"~{key}" for key in now if key.startswith(leaf) and key not in before)
    # Values that differ are set to the recorded ones, with `++`, which also adds a key.
    for key, value in before.items():
        known = key in sections or key.startswith(leaves)
        if known and key not in _NOT_RESTORED and (key not in now or now[key] != value):
            yield f"++{key}={text_of(value)}"


def _recorded_choice(directory: Path, group: str) -> str | None:
    """Return the recorded option of a group; None without a record of it."""
    file = directory / ".hydra" / "hydra.yaml"
    if not file.is_file():
        return None
    try:
        choice = OmegaConf.select(_read(file), f"hydra.runtime.choices.{group}")
    except (OmegaConfBaseException, ValueError):
        return None
    return None if choice is None else str(choice)


def _read(file: Path) -> DictConfig | ListConfig:
    """Return the content of a file of a record. Raises ValueError if it is malformed, see `read_yaml`."""
    read_yaml(file)  # refuses what OmegaConf would read without end
    return OmegaConf.create(read_regular(file, MOST_BYTES).decode())


def _is_section(content: Mapping[Any, Any]) -> bool:
    """Return whether every key is an identifier. Keys such as `adversary_*` cannot be part of a dotted key."""
    return bool(content) and all(re.fullmatch(r"[A-Za-z_]\w*", str(name)) for name in content)


def _flatten(config: DictConfig) -> Iterator[tuple[str, Any]]:
    content = OmegaConf.to_container(config)
    assert isinstance(content, dict)
    return flatten(content, is_section=_is_section)


def text_of(value: Any) -> str:
    """Return a value in Hydra's override grammar."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{text_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _parse(lines: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(lines))


def _name(override: Override) -> str:
    """Return the key or group of an override, without `+`, `++` or `~`."""
    return override.get_key_element().lstrip("+~")

"""The record of a job in its directory: `.hydra/`, with the composed configuration, the overrides that were given, and
the program that ran it.

It is signed with the user's key, so that a run of this user can be told from one that comes from elsewhere.

Hydra writes it before the app can refuse the job, and would replace the record of the run that is there. Here the job's
record is written once the job is accepted, so that a refused command leaves a run as it was.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from marl_app.config.errors import ConfigError
from marl_app.config.program import program_facts
from marl_app.config.schema import Config
from marl_app.config.search_path import user_folders
from marl_app.durable import replacing, write_durably
from marl_app.runs.trust import RECORD, STARTS, recorded_config, refuse_foreign_imports, sign

_prepared: dict[int, tuple[Path, Callable[[], Mapping[str, str]]]] = {}
"""id of a Config that is not running yet -> its run directory, and what makes the files of its record."""


def prepare_record(config: Config, composed: DictConfig, overrides: Sequence[str], hydra: Any = None) -> None:
    """Keep what `write_record` is going to write for this job. hydra: Hydra's configuration, of a job it started."""
    _prepared[id(config)] = Path(config.output_dir), lambda: _files(composed, overrides, hydra)
    weakref.finalize(config, _prepared.pop, id(config), None)  # ids are used again


def write_record(config: Config) -> None:
    """Write the record of a job, which is accepted, once. Does nothing for a Config that was not composed."""
    if id(config) in _prepared:
        run, files = _prepared.pop(id(config))
        _write(run, files())


def record_run(run: Path, composed: DictConfig, overrides: Sequence[str]) -> None:
    """Write and sign the record of a run that was composed outside of `@hydra.main`."""
    _write(run, _files(composed, overrides))


def _files(composed: DictConfig, overrides: Sequence[str], hydra: Any = None) -> dict[str, str]:
    if hydra is None:
        # A job that Hydra did not start: only the folders of options are needed to resume it.
        folders = [f"file://{folder.absolute()}" for folder in user_folders(overrides)]
        hydra = OmegaConf.create({"hydra": {"searchpath": folders}})
    contents = {"config.yaml": composed, "hydra.yaml": hydra, "overrides.yaml": overrides}
    return {name: OmegaConf.to_yaml(content) for name, content in contents.items()}


def _write(run: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        with replacing(run / RECORD / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    _note_start(run)
    # Last, because the signature covers the files above.
    sign(run)


def _note_start(run: Path) -> None:
    """Append the program of this start to `.hydra/starts.jsonl`: a resumed run has a line for each start."""
    file = run / RECORD / STARTS
    earlier = file.read_text(encoding="utf-8") if file.is_file() else ""
    # The whole file is replaced, so that a crash leaves no torn line.
    write_durably(file, f"{earlier}{json.dumps(program_facts())}\n".encode())


def read_record(run: Path, sections: Sequence[str], trust: bool) -> DictConfig:
    """Return a run's recorded configuration, for the use of these sections; its directory may have been moved since.

    Raises ConfigError if the directory has no record, if it cannot be read, or if the run was started by someone else
    and a section would import code (see `runs/trust.py`).
    """
    try:
        recorded = recorded_config(run)
        if not recorded:
            raise ValueError("no run was started in this directory (.hydra/config.yaml is missing): give another")
        # A missing section raises the KeyError below.
        refuse_foreign_imports(run, {name: recorded[name] for name in sections}, trust)
    except KeyError as error:
        raise ConfigError(f"run={run}: the recorded configuration has no {error}: give another directory") from error
    except ValueError as error:
        raise ConfigError(f"run={run}: {error}") from error
    return OmegaConf.create({**recorded, "output_dir": str(run)})

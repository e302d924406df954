"""Compose a checked Config from overrides: for `__main__` before a run, and for tests and notebooks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from marl_app.config.errors import ConfigError
from marl_app.config.explain import explain, unknown_key
from marl_app.config.record import prepare_record
from marl_app.config.register import register
from marl_app.config.schema import Config
from marl_app.config.search_path import quoted, user_folders
from marl_app.config.sweep import expand, subdir
from marl_app.config.tree import CONF, FOLDERS


def load(overrides: Sequence[str] = (), output_dir: str = "runs/adhoc") -> Config:
    """Return the configuration of a command line, e.g. `load(["+experiment=league", "env=tic_tac_toe"])`.

    `marl_app.run.run` records it in `output_dir`, as a run of the command line. Raises ConfigError.
    """
    try:
        composed = compose_job(overrides, output_dir)
        config = to_config(composed)
    except Exception as error:  # every exception of composition is about the user's input
        raise ConfigError(explain(error)) from error
    composed.output_dir = "${hydra:runtime.output_dir}"  # as Hydra records it: a run's directory may be moved
    prepare_record(config, composed, list(overrides))
    return config


def compose_job(overrides: Sequence[str], output_dir: str = "runs/adhoc") -> DictConfig:
    """Compose one job outside `@hydra.main`. Raises Hydra's and OmegaConf's errors."""
    _prepare(overrides)
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides), return_hydra_config=True)
    return _without_hydra(cfg, output_dir)


def _without_hydra(cfg: DictConfig, output_dir: str = "runs/adhoc") -> DictConfig:
    """Return the configuration of the app. `output_dir` replaces `${hydra:...}`, which needs `@hydra.main`."""
    # A composed configuration refuses to lose or gain keys unless it is opened.
    with open_dict(cfg):
        del cfg["hydra"]
        cfg.output_dir = output_dir
    return cfg


def _prepare(overrides: Sequence[str]) -> None:
    """Register the schema, and set the folders whose options error messages list."""
    # FOLDERS[0] is `conf/`.
    FOLDERS[1:] = user_folders(overrides)
    register()  # a folder of the user may have an algorithm


def to_config(cfg: DictConfig) -> Config:
    """Convert the composed configuration to dataclasses, whose constructors check it. Raises ConfigError."""
    try:
        config = OmegaConf.to_object(cfg)
    except Exception as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    _refuse_added_keys(config, "")
    return config


def _refuse_added_keys(section: Any, path: str) -> None:
    """Raise ConfigError for a key such as `+algorithm.typo=1`, which OmegaConf only sets as an attribute."""
    # Besides fields a section may have attributes that it derives from them.
    names = {item.name for item in fields(section)} | {*getattr(section, "derived", ())}
    for name, value in vars(section).items():
        if name not in names:
            raise ConfigError(unknown_key(f"{path}{name}"))
        if is_dataclass(value):
            _refuse_added_keys(value, f"{path}{name}.")


class CommandLine:
    """A command line, composed with Hydra's settings. Methods raise ConfigError, and Hydra's and OmegaConf's errors."""

    def __init__(self, overrides: Sequence[str], multirun: bool) -> None:
        _prepare(overrides)
        self._overrides = overrides
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            # Hydra's own object: `compose` takes no mode, and does not give the loader.
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            mode = RunMode.MULTIRUN if multirun else RunMode.RUN
            self._cfg = hydra.compose_config("config", list(overrides), mode, validate_sweep_overrides=False)
            self._loader = hydra.config_loader
        self._is_sweep = multirun or self._cfg.hydra.mode == RunMode.MULTIRUN

    def check(self) -> None:
        """Compose and check the jobs before the first one starts."""
        for job in self.jobs():
            to_config(job)

    def jobs(self) -> Iterator[DictConfig]:
        """Compose each job that is checked: a single run, or runs of a sweep (`-m`, or a sweep file)."""
        if self._is_sweep:
            # As Hydra does: each job of a sweep is composed from its own overrides.
            yield from map(compose_job, expand(self._cfg, self._overrides, self._loader))
            return
        # `seed=1,2` without -m
        ConfigLoaderImpl.validate_sweep_overrides_legal(_parse(self._overrides), RunMode.RUN, from_shell=True)
        yield _without_hydra(copy.deepcopy(self._cfg))

    def named_folders(self) -> list[str]:
        """Return the override of `hydra.sweep.subdir` that names what differs between the jobs of a sweep.

        [] for a single run, and if the user gives one.
        """
        if not self._is_sweep or any(line.startswith("hydra.sweep.subdir=") for line in self._overrides):
            return []
        name = subdir(self._cfg, self._overrides, self._loader)
        return [] if name is None else [f"hydra.sweep.subdir={quoted(name)}"]


def _parse(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))

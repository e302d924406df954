"""From overrides to a checked Config: for `__main__` before a run, and for tests and notebooks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from marl_app.config.errors import ConfigError
from marl_app.config.explain import explain, unknown_key
from marl_app.config.register import register
from marl_app.config.schema import Config
from marl_app.config.search_path import user_folders
from marl_app.config.tree import CONF, FOLDERS


def load(overrides: Sequence[str] = (), output_dir: str = "runs/adhoc") -> Config:
    """The configuration of a command line, e.g. `load(["+experiment=league", "env=tic_tac_toe"])`.

    Raises ConfigError.
    """
    try:
        return to_config(compose_job(overrides, output_dir))
    except Exception as error:  # nothing but the user's input is at work here
        raise ConfigError(explain(error)) from error


def compose_job(overrides: Sequence[str], output_dir: str = "runs/adhoc") -> DictConfig:
    """Compose one job outside `@hydra.main`. Raises Hydra's and OmegaConf's errors."""
    _prepare(overrides)
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides))
    with open_dict(cfg):
        cfg.output_dir = output_dir  # in a run it comes from Hydra, which is not there yet
    return cfg


def _prepare(overrides: Sequence[str]) -> None:
    """Register the schema, and add the user's folders to those whose options errors list."""
    register()
    FOLDERS[1:] = user_folders(overrides)


def to_config(cfg: DictConfig) -> Config:
    """The composed configuration as dataclasses, all checks made. Raises ConfigError."""
    try:
        config = OmegaConf.to_object(cfg)
    except Exception as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    _refuse_added_keys(config, "")
    return config


def _refuse_added_keys(section: Any, path: str) -> None:
    """`+algorithm.typo=1` is nothing that composition minds; OmegaConf sets it as one more attribute."""
    names = {item.name for item in fields(section)}
    for name, value in vars(section).items():
        if name not in names:
            raise ConfigError(unknown_key(f"{path}{name}"))
        if is_dataclass(value):
            _refuse_added_keys(value, f"{path}{name}.")


def check(overrides: Sequence[str], multirun: bool) -> None:
    """Compose and check every job of a command line before the first one starts. Raises what `load` explains."""
    for job in jobs(overrides, multirun):
        to_config(compose_job(job))


def jobs(overrides: Sequence[str], multirun: bool) -> Iterator[list[str]]:
    """The overrides of each job: one, or as many as a sweep (`-m`, or a sweep file) has."""
    _prepare(overrides)
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        cfg = hydra.compose_config("config", list(overrides), mode, validate_sweep_overrides=False).hydra
    params = dict(cfg.sweeper.get("params") or {})
    if not multirun and cfg.mode != RunMode.MULTIRUN:
        yield list(overrides)
        return
    parsed = OverridesParser.create().parse_overrides([*(f"{k}={v}" for k, v in params.items()), *overrides])
    choices: dict[str, list[str]] = {}
    for override in parsed:
        name = override.get_key_element()
        values = (
            override.sweep_string_iterator() if override.is_discrete_sweep() else [override.get_value_element_as_str()]
        )
        choices[name] = [f"{name}={value}" for value in values]
    yield from (list(job) for job in itertools.product(*choices.values()))

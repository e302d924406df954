"""The jobs of a sweep: the values of each key, the jobs that are checked before the first one starts, their folders."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

from marl_app.config.command import PATHS
from marl_app.config.errors import ConfigError
from marl_app.config.tree import groups

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OPTUNA = "hydra_plugins.marl_app_optuna.sweeper.OptunaSweeper"


def expand(cfg: DictConfig, overrides: Sequence[str], loader: ConfigLoader) -> Iterator[list[str]]:
    """Yield the overrides of the jobs of a sweep that are checked before it starts.

    Of a grid these are all combinations of values, but the values of `seed` one by one, because no other key depends on
    the seed. Of a search they are all values one by one, and the ends of intervals.

    Raises ConfigError for an interval without a sweeper that draws from it, or if optuna is not installed.
    """
    searches = cfg.hydra.sweeper["_target_"] != BASIC
    if cfg.hydra.sweeper["_target_"] == OPTUNA and importlib.util.find_spec("optuna") is None:
        raise ConfigError("hydra/sweeper=optuna: optuna is not installed: in the checkout, pip install '.[sweep]'")
    # name -> the overrides of its values; of a key that is given twice the last counts.
    choices: dict[str, list[str]] = {}
    for override in _overrides(cfg, overrides, loader):
        name = override.get_key_element()
        choices[name] = [f"{name}={value}" for value in _values(override, searches)]
    # One by one: each value once, with the first values of all other keys. A search draws its jobs later.
    single = choices if searches else {"seed": choices.get("seed", [])}
    first = {name: values[0] for name, values in choices.items()}
    jobs = itertools.product(*(values[:1] if name in single else values for name, values in choices.items()))
    others = ({**first, name: value}.values() for name, values in single.items() for value in values[1:])
    return map(list, itertools.chain(jobs, others))


def subdir(cfg: DictConfig, overrides: Sequence[str], loader: ConfigLoader) -> str | None:
    """Return the folder of a job in the sweep's: its number, and the keys whose values differ between the jobs.

    Values are interpolations, such as `${hydra.job.num}_seed=${seed}`. None if nothing differs that can be part of
    a name.
    """
    named: dict[str, str] = {}
    for override in _overrides(cfg, overrides, loader):
        key = override.key_or_group
        differs = override.is_sweep_override() and len(_values(override, searches=True)) > 1
        named.pop(key, None)  # the command line comes after the sweep's file
        if differs and not re.fullmatch(PATHS, key):
            named[key] = f"${{hydra.runtime.choices.{key}}}" if key in groups() else f"${{{key}}}"
    # The last part of a key is its name in the folder, unless two keys end alike.
    shorts = [re.split(r"[./]", key)[-1] for key in named]
    names = [short if shorts.count(short) == 1 else key for short, key in zip(shorts, named, strict=True)]
    parts = [f"{name.replace('/', '.')}={value}" for name, value in zip(names, named.values(), strict=True)]
    return f"${{hydra.job.num}}_{','.join(parts)}" if parts else None


def _overrides(cfg: DictConfig, overrides: Sequence[str], loader: ConfigLoader) -> list[Override]:
    """Return the parsed overrides of the sweep's file and of the command line."""
    params: dict[str, Any] = dict(cfg.hydra.sweeper.get("params") or {})
    # The command line comes after the sweep's file, so that it takes precedence.
    lines = [*(f"{name}={value}" for name, value in params.items()), *overrides]
    return OverridesParser.create(config_loader=loader).parse_overrides(lines)


def _values(override: Override, searches: bool) -> list[str]:
    """Return the values of an override as they are written, or the ends of its interval."""
    value = override.value()
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not isinstance(value, IntervalSweep):
        found = list(override.sweep_string_iterator())
        if not found:
            raise ConfigError(f"{override.input_line}: no option matches: give a pattern that does")
        return found
    if not searches:
        raise ConfigError(
            f"{override.input_line}: an interval has no list of values: add hydra/sweeper=optuna, which draws from it, "
            f"or give values, such as {override.get_key_element()}={value.start},{value.end}"
        )
    ends = (value.start, value.end)
    return [str(int(end)) if "int" in value.tags and end is not None else str(end) for end in ends]

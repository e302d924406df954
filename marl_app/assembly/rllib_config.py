"""The run of a configuration that was set by RLlib's methods: composed from `conf/`, checked, built and recorded.

`rllib/training/tunable_config.py` names this module, so that an algorithm can be built where RLlib or Tune builds one.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from marl_app.assembly.instantiate import config_errors
from marl_app.assembly.training import build
from marl_app.config.compose import compose_job, to_config
from marl_app.config.errors import ConfigError
from marl_app.config.explain import explain
from marl_app.config.flatten import flatten
from marl_app.config.record import record_run
from marl_app.config.resume import expand, text_of
from marl_app.config.search_path import quoted
from marl_app.config.tree import algorithm_families
from marl_app.envs.batched import MakeEnv
from marl_app.rllib.training.config import MatchConfig

EXPERIMENT = "rllib"
NEUTRAL_ENV = "tic_tac_toe"
"""An environment that sets no other key: a class of the user takes its place."""


def values_of(asked: MatchConfig) -> dict[str, Any]:
    """Return dotted key -> value of the run that a configuration asks for. Raises ConfigError."""
    return dict(flatten(asdict(to_config(_composed(asked, "")[0]))))


def with_run(asked: MatchConfig, run_dir: str | None) -> MatchConfig:
    """Return a copy of a configuration, with the run that it asks for; the run is recorded in `run_dir`.

    run_dir: None = a new directory. Raises ConfigError.
    """
    run_dir = run_dir or _new_directory()
    composed, overrides = _composed(asked, run_dir)
    made = asked.copy(copy_frozen=False)
    if asked.evaluation_parallel_to_training:  # then a callback evaluates, see `settings_given`
        made.evaluation(evaluation_interval=None, evaluation_parallel_to_training=False, evaluation_num_env_runners=0)
    return _built(made, composed, overrides, run_dir, _make_env(asked), asked.to_dict())


def recorded(path: Path, made: MatchConfig, run_dir: str | None, trust: bool) -> MatchConfig:
    """Return `made` with a new run of the configuration that is recorded in `path`.

    Raises ConfigError without a record, and if it names classes of someone else (see docs/security.md).
    """
    run_dir = run_dir or _new_directory()
    given = [f"resume={quoted(str(path))}", *(["trust=true"] if trust else [])]
    # The overrides that the recorded run was started with. This is a new run in its own directory, so those of a resume
    # are left out.
    overrides = [line for line in expand(given, multirun=False) if not re.match(r"resume=|hydra\.(run|mode)\b", line)]
    return _built(made, compose_job(overrides, run_dir), overrides, run_dir, None, {})


def _built(
    made: MatchConfig,
    composed: DictConfig,
    overrides: Sequence[str],
    run_dir: str,
    make_env: MakeEnv | None,
    asked: dict[str, Any],
) -> MatchConfig:
    result = build(to_config(composed), made, make_env)
    result.asked = asked
    record_run(Path(run_dir), composed, overrides)
    return result


def _composed(asked: MatchConfig, run_dir: str) -> tuple[DictConfig, list[str]]:
    """Return the composed configuration, and the overrides that it was composed of. Raises ConfigError."""
    # 1. Overrides, as on the command line. A class or function of the user takes the place of a neutral environment.
    named = isinstance(asked.env, str) and "." not in asked.env
    keys = {"algorithm": _option(asked), "env": asked.env if named else NEUTRAL_ENV, **asked.settings_given()}
    model = keys.pop("model") if isinstance(keys.get("model"), dict) else None  # a leaf, not an option
    experiments = [*filter(None, [keys.pop("+experiment", None)]), EXPERIMENT]
    overrides = [f"+experiment=[{','.join(experiments)}]", *(f"{key}={text_of(value)}" for key, value in keys.items())]
    # 2. Compose them with `conf/`.
    try:
        composed = compose_job(overrides, run_dir)
    except Exception as error:  # every exception of composition is about the user's input
        raise ConfigError(explain(error)) from error
    # 3. Put in what overrides cannot express: classes of the user, and their arguments.
    with config_errors("env"):
        if not named:  # what a partial function holds, such as RLlib's creator of an environment, is not recorded
            composed.env = {"_target_": _path(getattr(asked.env, "func", asked.env) or ""), **asked.env_config}
        elif asked.env_config:
            composed.env = {**composed.env, **asked.env_config}
    if model is not None:
        composed.model = model
    return composed, overrides


def _option(asked: MatchConfig) -> str:
    """Return the option of conf/algorithm that trains with this class. Raises ConfigError without one."""
    # A subclass of the user trains with the option of its nearest base class.
    paths = [_path(made) for made in type(asked).__mro__]
    options = {family.rllib_config: option for option, family in algorithm_families().items()}
    found = [options[path] for path in paths if path in options]
    if not found:
        raise ConfigError(f"{paths[0]}: no option of conf/algorithm names this class: use LeaguePPOConfig")
    return found[0]


def _make_env(asked: MatchConfig) -> MakeEnv | None:
    """Return a factory of a class or function of the user, which may be in a script; None for an option of conf/env."""
    return functools.partial(asked.env, **asked.env_config) if callable(asked.env) else None


def _path(made: type | str) -> str:
    """Return the import path of a class; of one in a function it leads nowhere, and `recorded` says so."""
    return made if isinstance(made, str) else f"{made.__module__}.{made.__qualname__.rpartition('<locals>.')[2]}"


def _new_directory() -> str:
    """Return a new run directory, in `$MARL_RUNS` or `runs/`."""
    runs, now = Path(os.environ.get("MARL_RUNS", "runs")), datetime.now()
    return str((runs / EXPERIMENT / f"{now:%Y-%m-%d_%H-%M-%S-%f}").absolute())

"""Checks of `_target_` paths, before anything is imported."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from marl_app.config.errors import ConfigError
from marl_app.config.renamed import current_path

_FIX = "give the path of a class, such as package.module.Class"


def check_leaf(path: str, leaf: dict[str, Any]) -> None:
    """Check that a leaf has a `_target_`, and that the module of every `_target_` in it exists.

    The module is searched for but not imported, which may take long. Paths that were renamed are replaced by the
    current ones, in place. Raises ConfigError.
    """
    if "_target_" not in leaf:
        raise ConfigError(f"{path}._target_ is missing: {_FIX}")
    _check_targets(path, leaf)


def _check_targets(path: str, value: Any) -> None:
    # The elements of a list are checked as those of a mapping, by index.
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return
    if "_target_" in value:
        target = value["_target_"]
        if isinstance(target, str):
            target = value["_target_"] = current_path(target)
        module = target.rpartition(".")[0] if isinstance(target, str) else ""
        if not module or not _exists(module):
            raise ConfigError(f"{path}._target_={target}: {f'the module {module} does not exist' if module else _FIX}")
    for name, item in value.items():
        _check_targets(f"{path}.{name}", item)


def _exists(module: str) -> bool:
    if module in sys.modules:  # also __main__, in which a script has its classes
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # the package around it does not exist
        return False

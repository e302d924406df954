"""Paths on the command line: those that users give, and the commands that the app prints for the next step.

Hydra's grammar reads a comma as several values, and refuses letters beyond ASCII, parentheses and more unless a value
is quoted twice, for the shell and for Hydra. A path is one value, so the app adds Hydra's quotes itself.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from marl_app.config.search_path import quoted

PATHS = (
    r"run|resume|task\.(against|file)|init_from|hydra\.(run|sweep)\.dir|algorithm\.magnet_player|"
    r"league\.guests\.\w+"
)
"""The keys whose value is a path, or begins with one."""


def with_quoted_paths(overrides: Sequence[str], multirun: bool) -> list[str]:
    """Return the overrides with Hydra's quotes around paths that need them, and without `~` for the home directory.

    In a sweep (`multirun`) a comma still separates values, but for the directory of the sweep itself.
    """
    return [_with_quoted_path(override, multirun) for override in overrides]


def _with_quoted_path(override: str, multirun: bool) -> str:
    key, equals, value = override.partition("=")
    if not re.fullmatch(PATHS, key.lstrip("+")) or _for_hydra(value):
        return override
    # A comma separates the values of a sweep here, so the paths are not quoted.
    if multirun and "," in value and not key.startswith("hydra."):
        return f"{key}={','.join(os.path.expanduser(path) for path in value.split(','))}"
    value = os.path.expanduser(value)
    return f"{key}{equals}{value if _is_plain(value) else quoted(value)}"


def command(*overrides: str, **paths: str | Path) -> str:
    """Return a command of this app to be copied into a shell: `command(resume="my runs/1")`; keys as in `PATHS`."""
    given = [f"{key}={quoted(str(path)) if _for_hydra(str(path)) else path}" for key, path in paths.items()]
    return shlex.join(["python", "-m", "marl_app", *overrides, *given])


def _for_hydra(value: str) -> bool:
    """Return whether a value is quoted or escaped for Hydra, a list, or a function such as glob(*)."""
    return re.fullmatch(r"['\"\[{].*|.*\\.*|\w+\(.*\)", value, re.DOTALL) is not None


def _is_plain(value: str) -> bool:
    """Return whether Hydra reads a value as it is."""
    return value == "" or re.fullmatch(r"[\w./:@-]+", value, re.ASCII) is not None

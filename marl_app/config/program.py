"""The program that runs, as recorded with each start of a run: versions, commit and machine."""

from __future__ import annotations

import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from marl_app import __version__
from marl_app.config.machine import available_cores

PACKAGES = ("ray", "torch", "numpy")
GIT_TIMEOUT_S = 10


def program_facts() -> dict[str, Any]:
    """Return when and with what a run is started, as JSON types.

    commit: of the checkout that has marl_app, "" if it was installed without one. project_commit: of the repository of
    the current folder, if that is another one. A commit ends with "+changes" if files differ from it.
    """
    own, project = _commit(Path(__file__)), _commit(Path.cwd())
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "marl_app": __version__,
        "commit": own,
        "project_commit": project if project != own else "",
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in PACKAGES},
        "machine": platform.platform(),
        "cores": available_cores(),
    }


def _commit(path: Path) -> str:
    """Return the commit of the repository that tracks a file, or that a folder is in; "" without one or without git."""
    folder = path if path.is_dir() else path.parent
    try:
        if path.is_file():  # an installed package may lie in a repository that ignores it
            _git(folder, "ls-files", "--error-unmatch", path.name)
        commit = _git(folder, "rev-parse", "HEAD")
        return f"{commit}+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
    )
    return done.stdout.strip()

"""Old class paths -> current ones, so that recorded runs and saved players still resolve after a class moved.

Run directories record `_target_` paths, and players written before 0.2.0 record the path of their network's class.
A class that is renamed or moved gets a line here; the old path then works in `resume=`, `run=` and in users' YAML.
"""

from __future__ import annotations

RENAMED: dict[str, str] = {}
"""Old dotted path of a class -> its path now."""


def current_path(path: str) -> str:
    """Return the path under which a class is found now; paths that were never renamed are returned unchanged."""
    return RENAMED.get(path, path)

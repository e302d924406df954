"""Classes that a saved player names by import path: found among what is imported, because a file may be foreign.

Importing a module runs its code, so the bytes of a player import nothing: a program imports the classes of its own
players, and `runs/trust.py` says which runs may name some.
"""

from __future__ import annotations

import sys


def imported_class(path: str) -> type:
    """Return the class at an import path. Raises ValueError if there is none in an imported module."""
    module, _, name = path.rpartition(".")
    if not hasattr(sys.modules.get(module), name):
        raise ValueError(
            f"this player needs the class {path}, which is not imported: import {module or 'it'} before, or allow the "
            "run to import it with trust=true"
        )
    found = getattr(sys.modules[module], name)
    if not isinstance(found, type):
        raise ValueError(f"{path} is not a class, as the player says")
    return found

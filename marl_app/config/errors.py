"""Exceptions that are shown as a message without a traceback, and what is said of any exception."""

import sysconfig
import traceback
from pathlib import Path

_OURS, _PYTHON = str(Path(__file__).parents[1]), sysconfig.get_path("stdlib")


class ConfigError(ValueError):
    """Wrong input: one or two lines that name the key and the fix. `__main__` prints them and exits with code 2."""


class RunFailedError(RuntimeError):
    """A run that cannot go on for a reason that the message states. `__main__` prints it and exits with code 1."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or the name of its class if it has no text."""
    # A KeyError's text is that of its argument in quotes. Of Python's own it is the key alone.
    of_key = isinstance(error, KeyError) and error.args and isinstance(error.args[0], str) and " " in error.args[0]
    text = str(error.args[0] if of_key else error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def place(error: BaseException) -> str | None:
    """Return where a cause outside of this app was raised, as "FILE:LINE in FUNCTION"; None if it was raised here.

    The cause is the last of the chain: the exception of a user's class, or of a game's library.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = Path(frame.filename).parts
        if frame.filename.startswith("<") or (frame.filename.startswith(_PYTHON) and "site-packages" not in parts):
            continue  # a function of Python's library, which the cause has called
        if frame.filename.startswith(_OURS) or {"hydra", "omegaconf"}.intersection(parts):
            return None
        return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return None

"""Exceptions that are shown as a message without a traceback, and the first line of any exception."""


class ConfigError(ValueError):
    """Wrong input: one or two lines that name the key and the fix. `__main__` prints them and exits with code 2."""


class RunFailedError(RuntimeError):
    """A run that cannot go on for a reason that the message states. `__main__` prints it and exits with code 1."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or the name of its class if it has no text."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__

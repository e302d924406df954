"""The one exception for a wrong input of the user. Imports nothing, so that everything may raise it."""


class ConfigError(ValueError):
    """A wrong input: the message names the key and the fix, in one or two lines. `__main__` prints it and exits with 2."""

"""The one exception for a wrong input of the user. Imports nothing, so that everything may raise it."""


class ConfigError(ValueError):
    """A wrong input: one or two lines that name the key and the fix. `__main__` prints them and exits with 2."""

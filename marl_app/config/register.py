"""Register the schema with Hydra: `conf/config.yaml` starts from `run_schema`, an algorithm from its settings class."""

from functools import cache

from hydra.core.config_store import ConfigStore

from marl_app.config.schema import Config
from marl_app.config.tree import algorithm_families


def register() -> None:
    """Store the schema as `run_schema`, and the settings class of each algorithm under its path. Idempotent."""
    _store("run_schema", Config)
    for family in algorithm_families().values():
        _store(f"{family.__module__}.{family.__qualname__}", family)


@cache  # Hydra converts the whole class each time
def _store(name: str, node: type) -> None:
    ConfigStore.instance().store(name=name, node=node)

"""Register the schema with Hydra: `conf/config.yaml` starts from `run_schema`, an algorithm from its settings class."""

from hydra.core.config_store import ConfigStore

from marl_app.config.schema import Config
from marl_app.config.tree import algorithm_families


def register() -> None:
    """Store the schema as `run_schema`, and the settings class of each algorithm under its path. Idempotent."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=Config)
    for family in algorithm_families().values():
        store.store(name=f"{family.__module__}.{family.__qualname__}", node=family)

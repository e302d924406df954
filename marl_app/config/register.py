"""Register the schema with Hydra: `conf/config.yaml` starts from `run_schema`, an algorithm from its settings class."""

from hydra.core.config_store import ConfigStore

from marl_app.config.schema import Config
from marl_app.config.tree import algorithm_families

_registered: set[str] = set()


def register() -> None:
    """Store the schema as `run_schema`, and the settings class of each algorithm under its path. Idempotent."""
    families = algorithm_families().values()
    nodes = {"run_schema": Config} | {f"{family.__module__}.{family.__qualname__}": family for family in families}
    for name, node in nodes.items():
        if name not in _registered:  # Hydra converts the whole class each time
            ConfigStore.instance().store(name=name, node=node)
    _registered.update(nodes)

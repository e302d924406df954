"""Register the schema with Hydra: `conf/config.yaml` starts from `run_schema`, an algorithm from its family's."""

from hydra.core.config_store import ConfigStore

from marl_app.config.schema import AlgorithmConfig, Config


def register() -> None:
    """Store the schema as `run_schema`, and that of each algorithm family as e.g. `ppo_schema`. Idempotent."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=Config)
    for family in AlgorithmConfig.__subclasses__():
        store.store(name=f"{family.option}_schema", node=family)

"""Makes the schema known to Hydra: `conf/config.yaml` begins with `run_schema`, an algorithm with its family's."""

from hydra.core.config_store import ConfigStore

from marl_app.config.schema import AlgorithmConfig, Config


def register() -> None:
    """Store the schema as `run_schema`, that of an algorithm as e.g. `ppo_schema`; doing it again changes nothing."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=Config)
    for family in AlgorithmConfig.__subclasses__():
        store.store(name=f"{family.option}_schema", node=family)

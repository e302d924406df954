"""Makes the schema known to Hydra: `conf/config.yaml` begins with `run_schema`, an algorithm with its family's."""

from hydra.core.config_store import ConfigStore

from marl_app.config.schema import AlgorithmConfig, Config


def register() -> None:
    """Store the schema as `run_schema`, an algorithm's as e.g. `schema/ppo`; doing it again changes nothing."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=Config)
    for family in AlgorithmConfig.__subclasses__():
        store.store(group="schema", name=family.option, node=family)

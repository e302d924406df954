"""Makes the schema known to Hydra: `conf/config.yaml` begins with `run_schema`."""

from hydra.core.config_store import ConfigStore

from marl_app.config.schema import Config


def register() -> None:
    """Store the schema under the name `run_schema`; doing it again changes nothing."""
    ConfigStore.instance().store(name="run_schema", node=Config)

"""Every option of `conf/store` makes a store."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

CONF = Path(__file__).resolve().parents[2] / "conf"


def test_disk(tmp_path: Path) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("store/disk", overrides=[f"+output_dir={tmp_path}"])
    store = instantiate(config.store)
    assert store.get(store.put(b"abc")) == b"abc"
    assert (tmp_path / "snapshots").is_dir()

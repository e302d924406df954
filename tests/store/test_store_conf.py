"""Every option of `conf/store` makes a store."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from tests.store.s3 import S3

CONF = Path(__file__).resolve().parents[2] / "conf"


def make(option: str, *overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose(f"store/{option}", overrides=[*overrides]).store, _convert_="all")


def test_disk(tmp_path: Path) -> None:
    store = make("disk", f"+output_dir={tmp_path}")
    assert store.get(store.put(b"abc")) == b"abc"
    assert (tmp_path / "snapshots").is_dir()


def test_object_store(tmp_path: Path, s3: S3) -> None:
    options = ", ".join(f"{name}: '{value}'" for name, value in s3.options.items())
    store = make("object_store", f"+output_dir={tmp_path}", f"store.url={s3.url}", f"store.options={{{options}}}")
    assert store.get(store.put(b"abc")) == b"abc"
    assert (tmp_path / "outbox").is_dir()


def test_an_object_store_without_a_url(tmp_path: Path) -> None:
    with pytest.raises(InstantiationException, match="store.url is not given"):
        make("object_store", f"+output_dir={tmp_path}")

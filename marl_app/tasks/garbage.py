"""Garbage: delete the unreferenced snapshots from the store of a run.

python -m marl_app task=garbage run=runs/league/<time>                    # only counts them
python -m marl_app task=garbage run=runs/league/<time> task.delete=true

A snapshot stays if a league or checkpoint of any run that shares the store references it, if it is in a checkpoint of
this run, or if it is younger than the grace period. See marl_app/store/garbage.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import OmegaConf

from marl_app.assembly.instantiate import config_errors, leaf
from marl_app.config.record import read_record
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.runs.references import checkpoint_digests
from marl_app.store.garbage import MIN_GRACE_S, find_garbage
from marl_app.store.store import Store


@dataclass
class CollectGarbage(Section):
    """The task `garbage`. Its objective is the number of unreferenced snapshots."""

    path: ClassVar[str] = "task"
    grace_s: float = key("Age in seconds up to which every snapshot stays.", at_least=MIN_GRACE_S)
    delete: bool = key("Whether to delete them, and not only count them.")

    def __call__(self, config: Config) -> float:
        assert config.run is not None  # checked by the schema
        run = Path(config.run).expanduser().absolute()
        recorded: Any = OmegaConf.to_container(read_record(run, ["store"], config.trust).store, resolve=True)
        store = leaf("store", recorded, Store)
        # The run's notes may be older than its checkpoints: read these directly.
        with config_errors("run"):
            in_checkpoints = checkpoint_digests(run)
        found = find_garbage(store, time.time(), self.grace_s, in_checkpoints)
        for digest in found.digests if self.delete else ():
            store.delete(digest)
        done = "deleted" if self.delete else "could be deleted (task.delete=true)"
        print(f"{len(found.digests)} snapshots {done}; {found.referred} are referenced, {found.young} are too young")
        return float(len(found.digests))

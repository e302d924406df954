"""Garbage: delete the snapshots that nobody refers to any more from the store of a run.

python -m marl_app task=garbage run=runs/league/<time>                    # says what it would delete
python -m marl_app task=garbage run=runs/league/<time> task.delete=true

What stays: whatever a league or a checkpoint of any run that shares the store refers to, the run's own checkpoints, and
everything younger than the grace. See marl_app/store/garbage.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import OmegaConf

from marl_app.assembly.instantiate import leaf, named
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config, Section, key
from marl_app.store.garbage import MIN_GRACE_S, checkpoint_digests, find_garbage


@dataclass
class CollectGarbage(Section):
    """The task. Its objective is the number of snapshots that nobody refers to."""

    path: ClassVar[str] = "task"
    grace_s: float = key("Seconds for which a snapshot stays, whoever refers to it.", at_least=MIN_GRACE_S)
    delete: bool = key("Whether they are deleted, and not only counted.")

    def __call__(self, config: Config) -> float:
        if config.run is None:
            raise ConfigError("run=null: give the directory of a run, such as run=runs/league/<time>")
        run = Path(config.run).expanduser().absolute()
        store = leaf("store", recorded_store(run))
        mine = named("run", lambda: checkpoint_digests(run))
        found = find_garbage(store, time.time(), self.grace_s, mine)
        for digest in found.digests if self.delete else ():
            store.delete(digest)
        done = "deleted" if self.delete else "could be deleted (task.delete=true)"
        print(f"{len(found.digests)} snapshots {done}; {found.referred} are referred to, {found.young} are too young")
        return float(len(found.digests))


def recorded_store(run: Path) -> Any:
    """The leaf `store` that a run was started with. Raises ConfigError if the directory holds no run."""
    recorded = run / ".hydra" / "config.yaml"
    if not recorded.is_file():
        raise ConfigError(f"run={run}: no run was started in this directory: give another")
    content = OmegaConf.load(recorded)
    content.output_dir = str(run)
    return OmegaConf.to_container(content.store, resolve=True)

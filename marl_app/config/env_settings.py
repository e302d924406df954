"""What the option of an environment sets besides the environment, which a run tells its user.

Some games need settings of their own: a magnet for poker, a network of their board. An option of `conf/env` sets them,
so that the game is learned as shipped; the command line and experiments take precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from marl_app.config.flatten import flatten
from marl_app.config.tree import FOLDERS

BATCH_SIZES = ("runtime.num_matches", "algorithm.train_batch_size_per_learner", "algorithm.minibatch_size")
"""Keys that nearly every option sets, because environments differ in speed."""


def set_by_env(choices: Mapping[str, str], config: Mapping[str, Any]) -> list[str]:
    """Return "group=option" and "key=value" for all that the chosen option of `env` sets, and that the run has.

    choices: option by group. config: the composed configuration. Without `env` itself and batch sizes.
    """
    option = choices.get("env")
    # The first folder that has the option, which is the one that Hydra takes.
    file = next((path for folder in FOLDERS if (path := folder / "env" / f"{option}.yaml").is_file()), None)
    if file is None:
        return []
    content: Any = OmegaConf.to_container(OmegaConf.load(file))
    # Entries such as `override /model: cnn`, by which the option chooses options of other groups.
    overrides = [entry for entry in content.pop("defaults", []) if isinstance(entry, dict)]
    groups = {name.removeprefix("override /"): chosen for entry in overrides for name, chosen in entry.items()}
    found = [f"{group}={chosen}" for group, chosen in groups.items() if choices.get(group) == chosen]
    if "# @package _global_" not in file.read_text(encoding="utf-8"):
        return found  # its keys are those of the environment
    # Keys that the command line or an experiment has changed are not the option's any more.
    now = dict(flatten(config))
    keys = [(key, value) for key, value in flatten(content) if not key.startswith("env.") and key not in BATCH_SIZES]
    return found + [f"{key}={value}" for key, value in keys if key in now and now[key] == value]

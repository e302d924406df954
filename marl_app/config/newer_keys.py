"""Keys that a recorded run did not know: with the values given here they have no effect, and the run goes on as it was.

Today's option of its environment may set such keys (env=kuhn_poker: a magnet, which the run did not have). The values
in `conf/algorithm` and `conf/league` have no effect; those of networks, in `conf/model`, have one, and are listed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from marl_app.config.compose import compose_job
from marl_app.config.flatten import flatten
from marl_app.config.renamed import current_path
from marl_app.config.tree import schema_keys

_CNN = "marl_app.players.modules.cnn.CNN"
_AFTERSTATES = "marl_app.players.modules.afterstates.Afterstates"


def newer_keys(
    before: Mapping[str, Any], now: Mapping[str, Any], folders: Sequence[str], algorithm: str | None
) -> dict[str, Any]:
    """Return key -> value for each key that is newer than the record and would have an effect.

    before, now: value by dotted key, as recorded, and as the recorded overrides compose today. folders: the override of
    `hydra.searchpath`, if any. algorithm: the recorded option; None: not known, as in runs that Python started.
    """
    # 1. Networks, whose new keys change what saved weights compute.
    found: dict[str, Any] = {}
    if "model.scale_observations" in now and "model.scale_observations" not in before:
        found["model.scale_observations"] = False
    if current_path(str(before.get("model._target_"))) == _CNN and "model.image_filters" not in before:
        found["model.image_filters"] = None
    if current_path(str(before.get("model._target_"))) == _AFTERSTATES and "model.reachable" not in before:
        found["model.reachable"] = False
    # 2. The algorithm and the league: the values of their plain options, without those of the environment's option.
    newer = [key.path for key in schema_keys() if key.path in now and key.path not in before]
    newer = [path for path in newer if path.startswith(("algorithm.", "league."))]
    if newer and algorithm is not None:
        options: Any = OmegaConf.to_container(compose_job([*folders, f"algorithm={algorithm}"]))
        plain = dict(flatten(options))
        found |= {path: plain[path] for path in newer if plain.get(path, now[path]) != now[path]}
    return found

"""Encoding of a player as bytes: its weights, and as metadata all that is needed to play with them.

Snapshots of the pool and the newest weights in a checkpoint have the same format. The metadata describes the networks,
their architecture, their spaces and the agents that they play, so that a player can be used without its run or Ray.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.config.renamed import current_path
from marl_app.players.imports import imported_class
from marl_app.players.modules.actor_critic import ActorCritic, Architecture
from marl_app.players.modules.cnn import is_image_shape
from marl_app.players.modules.scale import scaling_of
from marl_app.players.saved_spaces import space_from_json, space_to_json
from marl_app.store.codec import encode

if TYPE_CHECKING:
    from torch import Tensor

    from marl_app.players.networks import Network

FORMAT = 3
READABLE_FORMATS = (2, FORMAT)
"""Format 2 named the network's class by its import path, which changed; format 3 has a name of `REGISTERED`."""
REGISTERED = {
    "mlp": "marl_app.players.modules.mlp.MLPModule",
    "cnn": "marl_app.players.modules.cnn.CNNModule",
    "afterstates": "marl_app.players.modules.afterstates.AfterstateModule",
    "ntuple": "marl_app.players.modules.ntuple.NTupleModule",
}
"""Name of a network class in saved players -> its import path now. A user's own class is saved by its import path."""
NETWORK_KEYS = (
    *("num_agents", "state_size", "critic_sees_observation", "epsilon_greedy", "average_symmetries"),
    *("symmetries", "placement"),
)
"""Keys of a network's metadata that its module reads: those of `Network.model_config` and `Network.stated`."""
TRAINING_ONLY_MODEL_KEYS = ("precision", "vf_share_layers", "orthogonal_init")
"""Settings of a model that change its training but not (except for rounding) the policy of given weights."""


def encode_player(
    weights: Mapping[str, NDArray[Any]],
    networks: Sequence[Network],
    agents: Sequence[str],
    architecture: Architecture,
    facts: Mapping[str, Any],
) -> bytes:
    """Return the bytes of a player. `facts` (its name, when it was made, ...) are merged into the metadata."""
    return encode(weights, {**player_metadata(networks, agents, architecture), **facts})


def player_metadata(networks: Sequence[Network], agents: Sequence[str], architecture: Architecture) -> dict[str, Any]:
    """Return the part of the metadata that all players with these networks share."""
    module_class = architecture.module_class
    return {
        "format": FORMAT,
        "module_class": registered_name(f"{module_class.__module__}.{module_class.__qualname__}"),
        "model_config": architecture.model_config,
        "agents": list(agents),
        "networks": [
            {
                "name": network.name,
                "agents": list(network.agents),
                **network.model_config,
                "observation_space": space_to_json(network.observation_space),
                "action_space": space_to_json(network.action_space),
                **network.stated,
            }
            for network in networks
        ],
    }


def registered_name(path: str) -> str:
    """Return the name under which saved players know the network class at this (old or new) import path."""
    path = current_path(path)
    return next((name for name, registered in REGISTERED.items() if registered == path), path)


def has_same_architecture(metadata: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether the policies of two players differ in their weights only, given their metadata.

    Metadata without networks counts as equal; then the shapes of the weights are checked when they are loaded.
    """
    return difference(metadata, other) is None


def difference(metadata: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Return how the policies of two players differ besides their weights: "key: value, not value"; None: equal."""
    if "networks" not in metadata:
        return None
    first, second = _policy_settings(metadata), _policy_settings(other)
    for key in {**first, **second}:
        if first.get(key) != second.get(key):
            return f"{key}: {first.get(key)}, not {second.get(key)}"
    return None


def _policy_settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that determines a policy except its weights."""
    config = metadata["model_config"]
    # These two are compared below, only where they have an effect.
    left_out = (*TRAINING_ONLY_MODEL_KEYS, "scale_observations", "image_filters")
    settings = {f"model.{key}": value for key, value in config.items() if key not in left_out}
    settings["model"] = registered_name(metadata["module_class"])
    for network in metadata["networks"]:
        # Left out: the input of the critic, and what the environment states of the game.
        settings |= {
            f"{network['name']}.{key}": value
            for key, value in network.items()
            if key not in ("state_size", "critic_sees_observation", "symmetries", "placement", "average_symmetries")
        }
        # A player of before 0.3.0 lacks the key.
        settings[f"{network['name']}.average_symmetries"] = network.get("average_symmetries", False)
        # Two settings that are new in 0.3.0 and have no effect on most spaces: a player without them is the same there.
        space = space_from_json(network["observation_space"])
        if config.get("scale_observations", False) and isinstance(space, spaces.Box) and scaling_of(space) is not None:
            settings["model.scale_observations"] = True
        if config.get("image_filters") is not None and is_image_shape(space.shape or ()):
            settings["model.image_filters"] = config["image_filters"]
    return settings


def build_modules(weights: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> dict[str, ActorCritic]:
    """Return the networks of a decoded player, by name, with its weights and without gradients.

    Raises ValueError for another version of the format, for a class that is not a network or not imported, for weights
    that are not those of the networks, and for weights that are not finite.
    """
    import torch

    # 1. Can this program read the player?
    if metadata.get("format") not in READABLE_FORMATS:
        readable = " and ".join(map(str, READABLE_FORMATS))
        raise ValueError(f"this is a player of format {metadata.get('format')}; this program reads {readable}")
    module_class = network_class(metadata["module_class"])
    if not metadata["networks"] or not all(network["agents"] for network in metadata["networks"]):
        raise ValueError("this player is malformed: it has no networks, or a network without agents")

    # 2. Build each network without memory for weights, check the saved weights against it, and put them in.
    modules = {}
    for network in metadata["networks"]:
        with torch.device("meta"):  # allocates and draws no initial weights
            module = module_class(
                observation_space=space_from_json(network["observation_space"]),
                action_space=space_from_json(network["action_space"]),
                model_config=metadata["model_config"] | {key: network[key] for key in NETWORK_KEYS if key in network},
            )
        prefix = f"{network['name']}/"
        parameters = {
            key[len(prefix) :]: torch.from_numpy(value) for key, value in weights.items() if key.startswith(prefix)
        }
        _check_weights(network["name"], module, parameters)
        # The weights replace the meta tensors, which `to_empty` would first allocate: an import of sympy, a second.
        dtypes = {key: value.dtype for key, value in module.state_dict().items()}
        module.load_state_dict(
            {key: value.to(dtypes[key], copy=True) for key, value in parameters.items()}, assign=True
        )
        modules[network["name"]] = module.requires_grad_(False).eval()
    return modules


def network_class(name: str) -> type[ActorCritic]:
    """Return marl_app's network of this name, or an imported class at this path. Raises ValueError."""
    registered = registered_name(name)
    if registered in REGISTERED:
        # Only marl_app's own modules are imported here; the class of a user must be imported already (`imports.py`).
        importlib.import_module(REGISTERED[registered].rpartition(".")[0])
    found = imported_class(REGISTERED.get(registered, registered))
    if not issubclass(found, ActorCritic):
        raise ValueError(f"{name} is not a network: it must be a subclass of ActorCritic")
    return found


def _check_weights(name: str, module: ActorCritic, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless these are finite weights of the module's shapes, before anything is allocated."""
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    if shapes != {key: value.shape for key, value in weights.items()}:
        # The first name that only one of the two has, or whose shapes differ.
        different = next(
            key
            for key in (*shapes, *weights)
            if key not in shapes or key not in weights or shapes[key] != weights[key].shape
        )
        raise ValueError(f"the weights of network {name} do not fit its description, see {different}")
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise ValueError(f"the weights of network {name} are not finite")

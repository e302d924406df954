"""A magnet: a reference policy toward which the trained policy is regularized by a KL term in the loss.

The loss of main agents (exploiters look for best responses) gets `magnet_coeff` times KL(policy || reference), averaged
over the rows. In games of two players with opposed interests, plain policy gradients walk around the equilibrium; the
term makes them approach a regularized one:

- uniform: the uniform policy over the legal actions (Sokota et al., 2023, "A unified approach to reinforcement
  learning, quantal response equilibria, and two-player zero-sum games", magnetic mirror descent); of Box actions a
  standard normal.
- snapshot: a frozen copy, renewed every `magnet_updates` updates, so that the sequence of regularized equilibria
  approaches one of the game (Perolat et al., 2022, "Mastering the game of Stratego with model-free multiagent
  reinforcement learning", R-NaD). The copy is the learner's newest snapshot in the pool, named by its digest.
- ema: an exponential moving average of the weights, renewed at every update.
- player: any player, also of another run, as the supervised policy of AlphaStar (Vinyals et al., 2019).

Where we differ: R-NaD puts the KL term into the rewards and regularizes whole matches; here it is in the loss, as in
magnetic mirror descent. A reference with a memory runs from the memories that the trained network had at the beginning
of each sequence, or from zeros if their sizes differ.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from torch import Tensor
from torch.nn.functional import log_softmax

from marl_app.players.encoding import build_modules
from marl_app.players.modules.actor_critic import ACTION_MASK, AGENT_ID, LENGTHS, MEMORY, ActorCritic
from marl_app.store.codec import decode

NONE, UNIFORM, SNAPSHOT, EMA, PLAYER = "none", "uniform", "snapshot", "ema", "player"
PREFIX = "magnet/"  # of the names of averages in a checkpoint
REFERENCE = "reference_inputs"
"""Column with the distribution inputs of the reference policy: float32 [R, n]."""


class Magnet(Protocol):
    """The references of the networks of all learners, by RLlib's module ids."""

    def inputs(self, module_id: str, module: ActorCritic, columns: Mapping[str, Tensor]) -> Tensor | None:
        """Return the reference's distribution inputs [R, n] for the rows of a batch; None while there is none."""

    def after_update(self, module_id: str, module: ActorCritic) -> None:
        """Take notice of an update of the trained network."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint keeps: averaged weights, by name."""

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]], modules: Mapping[str, ActorCritic]) -> None:
        """Take over what `arrays` returned, for the trained networks `modules` by id."""


def uniform_inputs(module: ActorCritic, columns: Mapping[str, Tensor]) -> Tensor:
    """Return the distribution inputs [R, n] of the uniform policy over the legal actions of rows.

    Of Box actions those of a standard normal, in units of the network's output.
    """
    observations = columns[Columns.OBS]
    zeros = torch.zeros(len(observations), module.policy_head.linear.out_features, device=observations.device)
    mask = columns.get(ACTION_MASK)
    # A standard normal has mean 0 and log standard deviation 0.
    if hasattr(module, "log_std"):  # means and log standard deviations
        return torch.cat([zeros, zeros], dim=1)
    # Equal logits are the uniform distribution; `dist_inputs` lowers those of illegal actions.
    return zeros if mask is None else module.dist_inputs(zeros, mask)


class UniformMagnet:
    """The uniform policy over legal actions, see `uniform_inputs`."""

    def inputs(self, module_id: str, module: ActorCritic, columns: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the uniform policy."""
        return uniform_inputs(module, columns)

    def after_update(self, module_id: str, module: ActorCritic) -> None:
        """Do nothing: the reference is always the same."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return nothing."""
        return {}

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]], modules: Mapping[str, ActorCritic]) -> None:
        """Do nothing."""


class NetworkMagnet:
    """References that are networks: frozen players (`set_player`), or averages of the trained networks (`rate`).

    rate: weight of the trained weights in the average, at every update; None for frozen players.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._rate = rate
        self.modules: dict[str, ActorCritic] = {}

    def inputs(self, module_id: str, module: ActorCritic, columns: Mapping[str, Tensor]) -> Tensor | None:
        """Return the reference network's distribution inputs for all rows of the batch."""
        # The first average is a copy of the trained weights.
        if self._rate is not None and module_id not in self.modules:
            self.modules[module_id] = frozen(module)
        reference = self.modules.get(module_id)
        if reference is None:
            return None

        # A memory of another size cannot be continued: zeros, [S, size] with sequences, else [R, size].
        columns = dict(columns)
        if reference.memory_size and (MEMORY not in columns or columns[MEMORY].shape[1] != reference.memory_size):
            sequences = columns.get(LENGTHS, columns[Columns.OBS])
            columns[MEMORY] = torch.zeros(len(sequences), reference.memory_size, device=sequences.device)
        # Only the policy of the reference is computed, not its critic.
        with torch.no_grad():
            features, _ = reference.policy_head.features(
                columns[Columns.OBS], columns.get(MEMORY), columns.get(LENGTHS)
            )
            policy = reference.policy_head.from_features(features, columns.get(AGENT_ID))
            return reference.dist_inputs(policy, columns.get(ACTION_MASK))

    def after_update(self, module_id: str, module: ActorCritic) -> None:
        """Move the average toward the trained weights."""
        if self._rate is None:
            return
        own, trained = self.modules[module_id].state_dict(), module.state_dict()
        for name, value in own.items():
            if value.is_floating_point():
                value.lerp_(trained[name], self._rate)  # in place: `state_dict` returns the tensors themselves
            else:
                value.copy_(trained[name])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the averages; frozen players are in the store."""
        return {
            f"{PREFIX}{module_id}/{name}": value.cpu().numpy().copy()
            for module_id, module in (self.modules.items() if self._rate is not None else ())
            for name, value in module.state_dict().items()
        }

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]], modules: Mapping[str, ActorCritic]) -> None:
        """Restore the averages of the networks that have one."""
        for module_id, module in modules.items() if self._rate is not None else ():
            prefix = f"{PREFIX}{module_id}/"
            state = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
            if state:
                self.modules[module_id] = frozen(module)
                self.modules[module_id].load_state_dict({name: torch.from_numpy(v) for name, v in state.items()})

    def set_player(self, ids: Mapping[str, str], data: bytes, device: Any) -> None:
        """Use a player as the reference of a learner. ids: network name -> module id."""
        modules = build_modules(*decode(data))
        self.modules |= {module_id: modules[network].to(device) for network, module_id in ids.items()}


def frozen(module: ActorCritic) -> ActorCritic:
    """Return a copy of a network that is not trained."""
    copied: ActorCritic = copy.deepcopy(module).requires_grad_(False).eval()
    return copied


def make_magnet(settings: Any) -> Magnet | None:
    """Return the configured magnet. `settings`: the section `algorithm`."""
    if settings.magnet == NONE:
        return None
    if settings.magnet == UNIFORM:
        return UniformMagnet()
    return NetworkMagnet(settings.magnet_rate if settings.magnet == EMA else None)


def policy_kl(module: ActorCritic, inputs: Tensor, reference: Tensor) -> Tensor:
    """Return KL(policy || reference) of each row [R], given the inputs [R, n] of both distributions."""
    if module.action_dist_cls.__name__ != "TorchCategorical":
        dist = module.get_train_action_dist_cls()
        kl: Tensor = dist.from_logits(inputs).kl(dist.from_logits(reference))
        return kl
    # Illegal actions have probability 0, and logits that are finite: they contribute 0.
    logps = log_softmax(inputs, dim=1)
    return (logps.exp() * (logps - log_softmax(reference, dim=1))).sum(dim=1)

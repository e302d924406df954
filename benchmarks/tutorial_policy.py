"""The policy of `tutorial_sb3.py` in numpy, as a player that can be measured like ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marl_app.envs.batched import Array, Bools, Float32s, Ints


class TutorialPolicy:
    """Stable-Baselines3's MlpPolicy: flattened observation, hidden layers with tanh, one logit per action.

    weights: weight_<k> [outputs, inputs] and bias_<k> [outputs] of the layers, first to last.
    """

    memory_size = 0

    def __init__(self, weights: Mapping[str, Array]) -> None:
        number = sum(name.startswith("weight_") for name in weights)
        self._layers = [(weights[f"weight_{layer}"].T, weights[f"bias_{layer}"]) for layer in range(number)]

    def probabilities(self, observations: Array, masks: Bools | None) -> Float32s:
        """Return the probabilities of the actions, float32 [R, n]; illegal ones have 0."""
        # [R, inputs]: the planes of the board, one after the other.
        values = observations.reshape(len(observations), -1).astype(np.float32)
        *hidden, (weight, bias) = self._layers
        for hidden_weight, hidden_bias in hidden:
            values = np.tanh(values @ hidden_weight + hidden_bias)
        logits = values @ weight + bias
        if masks is not None:
            logits = np.where(masks, logits, -np.inf)
        # Softmax, with the largest logit subtracted so that exp does not overflow. exp(-inf) is 0.
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: Float32s = powers / powers.sum(axis=1, keepdims=True)
        return result

    def act(
        self,
        observations: Array,
        masks: Bools | None,
        agents: Ints,
        /,
        *,
        rng: np.random.Generator,
        greedy: bool,
        memory: Array | None,
    ) -> Ints:
        """Return one action per row, int64 [R]: see `players.policy.Policy`."""
        probabilities = self.probabilities(observations, masks)
        if not greedy:
            # The first action whose cumulative probability exceeds a uniform number in [0, total).
            cumulative = probabilities.cumsum(axis=1)
            probabilities = cumulative > rng.random((len(cumulative), 1), np.float32) * cumulative[:, -1:]
        chosen: Ints = probabilities.argmax(axis=1)
        return chosen


class SavedPolicy(NamedTuple):
    """A policy, and the seconds and env steps that it had trained for."""

    policy: TutorialPolicy
    seconds: float
    env_steps: int


def read_policy(path: Path) -> SavedPolicy:
    """Read a file of `tutorial_sb3.save_policy`. It holds plain arrays: numpy refuses pickled objects by default."""
    with np.load(path) as saved:
        arrays: dict[str, Any] = dict(saved)
    return SavedPolicy(TutorialPolicy(arrays), float(arrays["seconds"]), int(arrays["env_steps"]))

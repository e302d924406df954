"""Networks that see all S symmetric views of an observation, and average what they say about them.

Such a network has the symmetries of the game: it gives a mirrored board the mirrored action probabilities and the same
value. It takes S passes, and learns from one board what others learn from S of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class AllViews(nn.Module):
    """An encoder of rows [R, *shape] that returns the features of all S views side by side, [R, S * features].

    observations: S permutations of the entries of an observation, as in `Symmetries.observations`.
    """

    def __init__(self, encoder: nn.Module, observations: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.encoder = encoder
        # A plain attribute made by numpy stays in memory where a network is built on, or moved to, the meta device.
        self._entries = torch.from_numpy(np.ravel(observations))  # [S * entries]

    def forward(self, inputs: Tensor) -> Tensor:
        seen = inputs.flatten(1)[:, self._entries.to(inputs.device)]  # [R, S * entries]
        features: Tensor = self.encoder(seen.reshape(-1, *inputs.shape[1:]))
        return features.reshape(len(inputs), -1)


class MeanOverViews(nn.Module):
    """The mean over S views of the outputs of a layer for one of them: [R, S * features] to [R, size].

    actions: S permutations of the outputs, as in `Symmetries.actions`; None if they are the same in all views.
    """

    def __init__(self, count: int, actions: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        self.count = count
        # [S, size]: output a of the original is output `_inverse[s, a]` of view s; a permutation's inverse sorts it.
        self._inverse = None if actions is None else torch.from_numpy(np.argsort(actions, axis=1))

    def split(self, features: Tensor) -> Tensor:
        """Return features [R, S * features] of all views as rows [R * S, features]."""
        return features.reshape(len(features) * self.count, -1)

    def repeat(self, agents: Tensor) -> Tensor:
        """Return agent ids [R] once for each view: [R * S], in the order of `split`."""
        return agents.repeat_interleave(self.count)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return the mean [R, size] of outputs [R * S, size]."""
        seen = outputs.reshape(-1, self.count, outputs.shape[1])
        if self._inverse is not None:
            seen = seen.gather(2, self._inverse.to(seen.device).expand(len(seen), -1, -1))
        return seen.mean(dim=1)

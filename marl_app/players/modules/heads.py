"""Parts of a network: normalization of inputs, recurrent memory, heads, and value normalization (PopArt).

All layers map rows [R, ...] to rows [R, ...]. A memory is one vector per agent. In training, rows are S concatenated
sequences, and the memory is given before the first row of each.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from marl_app.moments import merge_moments
from marl_app.players.modules.batch_moments import batch_moments
from marl_app.players.modules.precision import in_bfloat16
from marl_app.players.modules.views import MeanOverViews

CLIP = 10.0  # bound of normalized inputs, in standard deviations


class Normalize(nn.Module):
    """A layer that normalizes inputs to mean 0 and standard deviation 1, by running statistics of training batches.

    Statistics are buffers of the module, so a player's weights contain them, and a snapshot keeps the ones with which
    it was frozen. They are merged as by Chan, Golub and LeVeque (1983); outputs are clipped to 10 as in OpenAI's
    baselines.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        return ((inputs.float() - self.mean) / (self.variance + 1e-8).sqrt()).clamp(-CLIP, CLIP)

    def update(self, inputs: Tensor) -> None:
        """Merge rows [R, *shape], of all learners, into the statistics."""
        with torch.no_grad():
            batch_mean, batch_variance, count = batch_moments(inputs.float())
            total = self.count + count
            mean, variance = merge_moments(self.mean, self.variance, batch_mean, batch_variance, count / total)
            self.mean.copy_(mean)
            self.variance.copy_(variance)
            self.count.copy_(total)


class Memory(nn.Module):
    """A GRU (Cho et al., 2014) or an LSTM (Hochreiter and Schmidhuber, 1997) over features.

    A memory has `size` numbers: the hidden state and, for an LSTM, the cell state after it.
    """

    def __init__(self, cell: str, features: int, width: int, orthogonal_init: bool) -> None:
        super().__init__()
        self.lstm = cell == "lstm"
        self.size = 2 * width if self.lstm else width
        self.cell = (nn.LSTM if self.lstm else nn.GRU)(features, width, batch_first=True)
        if orthogonal_init:
            for name, parameter in self.cell.named_parameters():
                if "bias" in name:
                    nn.init.zeros_(parameter)
                else:
                    nn.init.orthogonal_(parameter)

    def forward(self, features: Tensor, memory: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs [R, width] of rows [R, features], and the new memories.

        Without `lengths`, every row is one step of a different agent, with its memory in `memory` [R, size]. With
        `lengths` [S], rows are concatenated sequences of these lengths, and `memory` [S, size] is the one before each.
        """
        if lengths is None:
            outputs, memory = self._run(features[:, None], memory)
            return outputs[:, 0], memory
        # [S, longest] bool: True for steps of a sequence, False for padding. A boolean index enumerates in row-major
        # order, which is the order of the rows. New memories are those after the padding: training does not use them.
        is_step = torch.arange(int(lengths.max()), device=features.device) < lengths[:, None]
        padded = features.new_zeros(*is_step.shape, features.shape[1])
        padded[is_step] = features
        outputs, memory = self._run(padded, memory)
        return outputs[is_step], memory

    def _run(self, steps: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [S, T, width] of steps [S, T, features], and the memories [S, size] after them."""
        # torch's cells take states of [layers, S, width]; here is one layer.
        if not self.lstm:
            outputs, hidden = self.cell(steps, memory[None].contiguous())
            return outputs, hidden[0]
        outputs, state = self.cell(steps, tuple(part[None].contiguous() for part in memory.chunk(2, dim=1)))
        return outputs, torch.cat([part[0] for part in state], dim=1)


class Head(nn.Module):
    """A linear layer on an encoder, with an optional memory between them.

    encoder: None for a head that is only called with the features of another head.
    num_agents: if > 0, one-hot agent ids of this size are appended to the features.
    views: averages over symmetric views, whose features come side by side from `AllViews`; None for one view.
    """

    encoder: nn.Module  # None in a head that is only called with features

    def __init__(
        self,
        encoder: nn.Module | None,
        memory: Memory | None,
        features: int,
        num_agents: int,
        size: int,
        precision: str,
        views: MeanOverViews | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.views = views
        self.memory = memory
        self.num_agents = num_agents
        self.precision = precision
        self.linear = nn.Linear(features + num_agents, size)

    def forward(
        self, inputs: Tensor, agents: Tensor | None = None, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return outputs [R, size] of input rows [R, *shape], and the new memories [R, ...] or None."""
        features, memory = self.features(inputs, memory)
        return self.from_features(features, agents), memory

    def features(
        self, inputs: Tensor, memory: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the input of the linear layer, float32 [R, features], and the new memories or None.

        The encoder runs in the configured precision.
        """
        device = inputs.device.type
        # In float32 there is no context at all: a disabled one would be part of an exported network.
        mixed = in_bfloat16(self.precision, device)
        with torch.autocast(device, torch.bfloat16) if mixed else contextlib.nullcontext():
            features: Tensor = self.encoder(inputs).float()
        if self.memory is None:
            return features, memory
        features, memory = self.memory(features, memory, lengths)
        return features, memory

    def from_features(self, features: Tensor, agents: Tensor | None = None) -> Tensor:
        """Return outputs [R, size] of features [R, features] that an encoder has computed."""
        if self.views is None:
            return self._outputs(features, agents)
        repeated = None if agents is None else self.views.repeat(agents)
        mean: Tensor = self.views(self._outputs(self.views.split(features), repeated))
        return mean

    def _outputs(self, features: Tensor, agents: Tensor | None) -> Tensor:
        if self.num_agents and agents is not None:
            # After the encoder: agents share the features, and the linear layer tells them apart.
            one_hot = nn.functional.one_hot(agents.long(), self.num_agents)
            features = torch.cat([features, one_hot.to(features.dtype)], dim=1)
        return self.linear(features)


class ValueHead(Head):
    """A head whose output is one value, in units in which value targets have mean 0 and standard deviation 1.

    PopArt (van Hasselt et al., 2016, "Learning values across many orders of magnitude"): when the units change, the
    linear layer is rescaled so that all values stay the same. Without `update` the units are those of the rewards.
    """

    STEP = 0.1  # weight of a batch in the exponential averages of mean and variance

    def __init__(
        self,
        encoder: nn.Module | None,
        features: int,
        num_agents: int,
        precision: str,
        views: MeanOverViews | None = None,
    ) -> None:
        super().__init__(encoder, None, features, num_agents, 1, precision, views)
        # `weight` is the total weight of batches in the averages, which corrects their bias towards the initial zeros.
        for name in ("mean", "variance", "weight"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("unit", torch.ones(()))

    def value(self, features: Tensor, agents: Tensor | None = None) -> Tensor:
        """Return values [R], in units of the rewards."""
        return self.from_features(features, agents).squeeze(1) * self.unit + self.mean

    def normalized(self, targets: Tensor) -> Tensor:
        """Return value targets [R] in the units of this head's output."""
        return (targets - self.mean) / self.unit

    def update(self, targets: Tensor) -> None:
        """Merge the moments of value targets [R], of all learners, into the units, without changing any value.

        Does nothing if a target is not finite: the learner skips such a gradient step, but the units would stay broken.
        """
        with torch.no_grad():
            batch_mean, batch_variance, _ = batch_moments(targets)
            if not torch.isfinite(batch_mean + batch_variance):
                return
            old_mean, old_unit = self.mean.clone(), self.unit.clone()
            self.weight += self.STEP * (1 - self.weight)
            # The weight of this batch: 1 in the first update, and STEP in the long run.
            share = self.STEP / self.weight
            mean, variance = merge_moments(self.mean, self.variance, batch_mean, batch_variance, share)
            self.mean.copy_(mean)
            self.variance.copy_(variance)
            self.unit.copy_(self.variance.clamp(min=1e-4).sqrt())
            # Solve output * old_unit + old_mean == new_output * unit + mean for the new weight and bias.
            self.linear.weight *= old_unit / self.unit
            self.linear.bias.copy_((self.linear.bias * old_unit + old_mean - self.mean) / self.unit)


def initialize(encoder: nn.Module) -> None:
    """Set orthogonal weights with gain sqrt 2 and zero biases in all layers of an encoder."""
    for layer in encoder.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            orthogonal(layer, 2**0.5)


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    """Set orthogonal weights and zero biases."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)

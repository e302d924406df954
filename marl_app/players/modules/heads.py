"""The parts of a network: normalized inputs, a memory, heads on top, and values in units of their own.

Everything here works on rows: [R, ...] in, [R, ...] out. A memory is one row of numbers per agent; in training, rows
come in sequences, one after the other, and the memory before the first row of each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from marl_app.moments import merge_moments
from marl_app.players.modules.precision import in_bfloat16

CLIP = 10.0  # standard deviations beyond which a normalized input says no more


class Normalize(nn.Module):
    """Inputs with mean 0 and standard deviation 1, by running statistics of what was trained on.

    Statistics are weights like others: they travel with a player, and a snapshot keeps those it was frozen with. Chan,
    Golub and LeVeque (1983) for merging them; clipped to 10 as in OpenAI's baselines.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        return ((inputs.float() - self.mean) / (self.variance + 1e-8).sqrt()).clamp(-CLIP, CLIP)

    @torch.no_grad()
    def update(self, inputs: Tensor) -> None:
        """Merge rows [R, *shape] into the statistics."""
        inputs, total = inputs.float(), self.count + len(inputs)
        mean, variance = merge_moments(
            self.mean, self.variance, inputs.mean(dim=0), inputs.var(dim=0, correction=0), len(inputs) / total
        )
        self.mean.copy_(mean)
        self.variance.copy_(variance)
        self.count.copy_(total)


class Memory(nn.Module):
    """A GRU (Cho et al., 2014) or an LSTM (Hochreiter and Schmidhuber, 1997) over features.

    `size` numbers are remembered: the hidden state and, of an LSTM, the cell behind it.
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
        """Outputs [R, width] of rows [R, features], and the memories after them.

        Without `lengths` every row is a step of its own, with its memory [R, size]. With them, rows are sequences of
        these lengths [S], one after the other, and `memory` [S, size] is what was remembered before each.
        """
        if lengths is None:
            outputs, memory = self._run(features[:, None], memory)
            return outputs[:, 0], memory
        real = torch.arange(int(lengths.max()), device=features.device) < lengths[:, None]
        padded = features.new_zeros(*real.shape, features.shape[1])
        padded[real] = features
        outputs, memory = self._run(padded, memory)
        return outputs[real], memory

    def _run(self, steps: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        if not self.lstm:
            outputs, hidden = self.cell(steps, memory[None].contiguous())
            return outputs, hidden[0]
        outputs, state = self.cell(steps, tuple(part[None].contiguous() for part in memory.chunk(2, dim=1)))
        return outputs, torch.cat([part[0] for part in state], dim=1)


class Head(nn.Module):
    """A linear layer on an encoder, with a memory between them if there is one.

    A head without an encoder of its own (None) sits on another's features. `num_agents` > 0: agent ids, as a one-hot
    feature of that size, join the features.
    """

    def __init__(
        self,
        encoder: nn.Module | None,
        memory: Memory | None,
        features: int,
        num_agents: int,
        size: int,
        precision: str,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.memory = memory
        self.num_agents = num_agents
        self.precision = precision
        self.linear = nn.Linear(features + num_agents, size)

    def forward(
        self, inputs: Tensor, agents: Tensor | None = None, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs [R, size] of input rows [R, *shape], and the memories [R, ...] after them."""
        features, memory = self.features(inputs, memory)
        return self.from_features(features, agents), memory

    def features(
        self, inputs: Tensor, memory: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the last layer sees, float32 [R, features]; the encoder runs in the configured precision."""
        device = inputs.device.type
        with torch.autocast(device, torch.bfloat16, enabled=in_bfloat16(self.precision, device)):
            features = self.encoder(inputs).float()
        return (features, memory) if self.memory is None else self.memory(features, memory, lengths)

    def from_features(self, features: Tensor, agents: Tensor | None = None) -> Tensor:
        """Outputs [R, size] from features [R, features] that an encoder already made."""
        if self.num_agents and agents is not None:
            one_hot = nn.functional.one_hot(agents.long(), self.num_agents)
            features = torch.cat([features, one_hot.to(features.dtype)], dim=1)
        return self.linear(features)


class ValueHead(Head):
    """A head whose one output is a value, in units in which the targets have mean 0 and standard deviation 1.

    PopArt (van Hasselt et al., 2016, "Learning values across many orders of magnitude"): when the units change, the
    last layer is changed with them, so that no value does. Without `update` the units are those of the rewards.
    """

    STEP = 0.1  # weight of a batch in the running moments

    def __init__(self, encoder: nn.Module | None, features: int, num_agents: int, precision: str) -> None:
        super().__init__(encoder, None, features, num_agents, 1, precision)
        for name in ("mean", "variance", "weight"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("unit", torch.ones(()))

    def value(self, features: Tensor, agents: Tensor | None = None) -> Tensor:
        """Values [R], in units of the rewards."""
        return self.from_features(features, agents).squeeze(1) * self.unit + self.mean

    def normalized(self, targets: Tensor) -> Tensor:
        """Values [R] in this head's own units."""
        return (targets - self.mean) / self.unit

    @torch.no_grad()
    def update(self, targets: Tensor) -> None:
        """Take the moments of value targets [R] into account, and keep all values as they are.

        Targets that are not finite are left to the gradient step, which is left out: units made of them would stay.
        """
        if not torch.isfinite(targets).all():
            return
        mean, unit = self.mean.clone(), self.unit.clone()
        self.weight += self.STEP * (1 - self.weight)
        share = self.STEP / self.weight
        new_mean, variance = merge_moments(self.mean, self.variance, targets.mean(), targets.var(correction=0), share)
        self.mean.copy_(new_mean)
        self.variance.copy_(variance)
        self.unit.copy_(self.variance.clamp(min=1e-4).sqrt())
        self.linear.weight *= unit / self.unit
        self.linear.bias.copy_((self.linear.bias * unit + mean - self.mean) / self.unit)


def initialize(encoder: nn.Module) -> None:
    """Orthogonal weights with gain sqrt 2 and zero biases for all layers of an encoder."""
    for layer in encoder.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            orthogonal(layer, 2**0.5)


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    """Orthogonal weights and zero biases."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)

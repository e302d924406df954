"""Export of a network to a file that other programs run without marl_app: `.onnx`, or torch.export's `.pt2`.

The file computes in float32, whatever `model.precision` says, for any number of rows R. Its inputs and outputs are
those of `INPUTS` and `OUTPUTS` that the network has, by these names. It holds the meaning of each, the player's name
and the spaces as JSON: an ONNX file in its metadata, a `.pt2` in the extra file `marl_app.json`.

Needs the extra `export` for ONNX; `.pt2` needs torch only.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from marl_app.envs.symmetries import Symmetries
from marl_app.players.actions import affine
from marl_app.players.modules.actor_critic import ActorCritic
from marl_app.players.modules.heads import Head

INPUTS = {
    "observation": "[R, *shape] in the layout and dtype of observation_space",
    "action_mask": "bool [R, n]: the legal actions; all true if the environment gives none",
    "agent": "int64 [R]: index of the agent in agents",
    "memory": "float32 [R, size]: new_memory of the agent's previous step; zeros before its first",
}
OUTPUTS = {
    "probabilities": "float32 [R, n] of the actions in order; of the parts of a MultiDiscrete, concatenated",
    "mean": "float32 [R, *action shape], in units of action_space: clipped to it, this is the greedy action",
    "standard_deviation": "float32 [R, *action shape]: actions are clip(mean + standard_deviation * normal)",
    "value": "float32 [R]: discounted sum of rewards, as scaled in training; missing if the critic sees more than this",
    "new_memory": "float32 [R, size]: the memory at the next step",
}
METADATA_FILE = "marl_app.json"
SUFFIXES = (".onnx", ".pt2")


class ExportedNetwork(nn.Module):
    """A copy of a network as a function from `INPUTS` to `OUTPUTS`, without options, in float32.

    symmetries: if given, probabilities and values are means over all symmetric views.
    """

    def __init__(self, network: ActorCritic, symmetries: Symmetries | None = None) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        # A context of mixed precision would become part of the exported program.
        for head in self.network.modules():
            if isinstance(head, Head):
                head.precision = "float32"
        self.has_value = not network.central and not network.epsilon_greedy
        space = network.action_space
        self.is_box = isinstance(space, spaces.Box)
        # Sizes of the parts of a MultiDiscrete; of other spaces one entry, which is not read.
        self.parts = [int(size) for size in np.ravel(space.nvec if isinstance(space, spaces.MultiDiscrete) else 0)]
        if isinstance(space, spaces.Box):
            factor, bias = affine(space)
            self.register_buffer("factor", torch.from_numpy(factor))
            self.register_buffer("bias", torch.from_numpy(bias))
        self.views: list[tuple[Tensor, Tensor]] = []  # indices of the entries of observations and of the actions
        if symmetries is not None:
            self.views = [(torch.tensor(seen), torch.tensor(act)) for seen, act in zip(*symmetries, strict=True)]

    def forward(
        self,
        observation: Tensor,
        action_mask: Tensor | None = None,
        agent: Tensor | None = None,
        memory: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs of the network by name."""
        if self.views:
            return self._mean_over_views(observation, action_mask, agent)
        return self._outputs(observation, action_mask, agent, memory)

    def _outputs(
        self, observation: Tensor, mask: Tensor | None, agent: Tensor | None, memory: Tensor | None
    ) -> dict[str, Tensor]:
        if self.has_value:
            inputs, value, memory = self.network.act_and_value(observation, mask, agent, memory)
        else:
            inputs, memory = self.network.act(observation, mask, agent, memory)
        outputs = self._distribution(inputs)
        if self.has_value:
            outputs["value"] = value
        if memory is not None:
            outputs["new_memory"] = memory
        return outputs

    def _distribution(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the action distribution, given its inputs [R, n]."""
        if not self.is_box:
            parts = inputs.split(self.parts, dim=1) if len(self.parts) > 1 else [inputs]
            return {"probabilities": torch.cat([part.softmax(dim=1) for part in parts], dim=1)}
        # As `to_space`, without its clipping: in units of the action space.
        mean, log_std = (half.reshape(-1, *self.factor.shape) for half in inputs.chunk(2, dim=1))
        return {"mean": mean * self.factor + self.bias, "standard_deviation": log_std.exp() * self.factor}

    def _mean_over_views(self, observation: Tensor, mask: Tensor | None, agent: Tensor | None) -> dict[str, Tensor]:
        seen = []
        for entries, actions in self.views:
            # [R, *shape] in the view: the network sees permuted entries, and a mask of permuted actions.
            view = observation.flatten(1)[:, entries].reshape(observation.shape)
            outputs = self._outputs(view, None if mask is None else mask[:, actions], agent, None)
            # The inverse of a permutation sorts it.
            outputs["probabilities"] = outputs["probabilities"][:, actions.argsort()]
            seen.append(outputs)
        return {name: torch.stack([outputs[name] for outputs in seen]).mean(dim=0) for name in seen[0]}


def export_network(
    path: str | Path, network: ActorCritic, facts: Mapping[str, Any], symmetries: Symmetries | None = None
) -> None:
    """Write a network to `path`, a `.onnx` or a `.pt2`, with `facts`, JSON types, and the meaning of all tensors.

    Raises ValueError for another suffix and for a network whose operations cannot be exported, ImportError if the
    extra `export` is not installed.
    """
    # 1. Check the request.
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: an agent is exported as {' or '.join(SUFFIXES)}, by the name of the file")
    if suffix == ".onnx" and not all(map(importlib.util.find_spec, ("onnx", "onnxscript"))):
        raise ImportError(
            "an agent is exported as .onnx with onnx and onnxscript: pip install '.[export]' in the checkout"
        )

    # 2. Run the network once: only then is it known which outputs it has.
    exported = ExportedNetwork(network, symmetries).eval().requires_grad_(False)
    examples = _examples(network)
    outputs = list(exported(**examples))
    metadata = {
        **facts,
        "inputs": {name: INPUTS[name] for name in examples},
        "outputs": {name: OUTPUTS[name] for name in outputs},
    }

    # 3. Trace the network, convert it, and write it with its metadata, which are texts in an ONNX file.
    with _quiet():
        try:
            program = _program(exported, examples)
            converted = _to_onnx(program, list(examples), outputs) if suffix == ".onnx" else None
        except Exception as error:  # torch has many classes for operations that it cannot trace or convert
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"this network cannot be exported as {suffix}: {type(error).__name__}: {reason}"
            ) from error
        if converted is None:
            torch.export.save(program, path, extra_files={METADATA_FILE: json.dumps(metadata)})
            return
        for key, value in metadata.items():
            converted.model.metadata_props[key] = value if isinstance(value, str) else json.dumps(value)
        converted.save(path, external_data=False)


def _examples(network: ActorCritic) -> dict[str, Tensor]:
    """Return inputs of two rows; torch would take a single row for the only number of rows there is."""
    space = network.observation_space
    examples = {"observation": torch.from_numpy(np.zeros((2, *space.shape), space.dtype))}
    if not isinstance(network.action_space, spaces.Box):
        examples["action_mask"] = torch.ones(2, network.policy_head.linear.out_features, dtype=torch.bool)
    if network.policy_head.num_agents:
        examples["agent"] = torch.zeros(2, dtype=torch.int64)
    if network.memory_size:
        examples["memory"] = torch.zeros(2, network.memory_size)
    return examples


def _program(exported: ExportedNetwork, examples: Mapping[str, Tensor]) -> Any:
    """Return the network as a `torch.export.ExportedProgram` for any number of rows."""
    rows = torch.export.Dim("rows")
    shapes = {name: {0: rows} for name in examples}
    return torch.export.export(exported, (), dict(examples), dynamic_shapes=shapes, strict=False)


def _to_onnx(program: Any, inputs: list[str], outputs: list[str]) -> Any:
    """Return the program as a `torch.onnx.ONNXProgram`."""
    return torch.onnx.export(
        program, input_names=inputs, output_names=outputs, dynamo=True, verbose=False, external_data=False
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings and log messages of torch and onnx_ir, about deprecated parts of their own and optimizations."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

"""Recurrent networks, for environments in which the current observation is not enough to act well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from marl_app.players.modules.actor_critic import ActorCritic, Architecture
from marl_app.players.modules.mlp import MLPModule

CELLS = ("gru", "lstm")


@dataclass(frozen=True, kw_only=True)
class Recurrent(Architecture):
    """The options `model=gru` and `model=lstm`: dense layers of the widths `hidden`, then a `cell` of width `memory`.

    Training backpropagates through at most `max_seq_len` steps of an agent. A sequence starts with the memory that the
    agent had at its first step when it played (the "stored state" of Kapturowski et al., 2019, "Recurrent experience
    replay in distributed reinforcement learning"). A local critic shares the memory.
    """

    cell: str = "gru"
    memory: int = 128
    max_seq_len: int = 20
    module_class: ClassVar[type[ActorCritic]] = MLPModule

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell not in CELLS:
            raise ValueError(f"model.cell={self.cell}: choose one of {', '.join(CELLS)}")
        for key in ("memory", "max_seq_len"):
            if getattr(self, key) < 1:
                raise ValueError(f"model.{key}={getattr(self, key)}: give at least 1")
        # A critic with its own encoder would need a memory of its own.
        if not self.vf_share_layers:
            raise ValueError("model.vf_share_layers=false: a local critic shares the memory; give true")

"""Minibatches of columns [R, ...]: near-equal parts, of rows or of whole sequences, drawn again in each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from ray.rllib.core.columns import Columns
from torch import Tensor

from marl_app.players.modules.actor_critic import LENGTHS, MEMORY
from marl_app.players.modules.batch_moments import batch_moments
from marl_app.rllib.ppo.data_parallel import counts_of_learners, rows_of_learners


def minibatches(
    columns: Mapping[str, Tensor], num_epochs: int, minibatch_size: int | None, shuffle: bool
) -> Iterator[dict[str, Tensor]]:
    """Yield every row once per epoch, in near-equal minibatches of about `minibatch_size` rows (None: the whole batch).

    Rows of a sequence (LENGTHS) stay together. Of several learners each draws parts of its own rows, as many as the
    others: `minibatch_size` counts the rows of all. A learner with few rows has parts without any.
    """
    observations = columns[Columns.OBS]
    device = observations.device
    lengths = columns.get(LENGTHS)
    units = len(observations) if lengths is None else len(lengths)  # rows or sequences
    counts = counts_of_learners((len(observations), units), device)
    rows = sum(count for count, _ in counts)
    parts = max(1, math.floor(rows / (minibatch_size or rows) + 0.5))  # minibatches per epoch
    parts = min(parts, max(count for _, count in counts))  # at least one learner has rows in each
    for _ in range(num_epochs):
        # On the CPU, whose random number generator is kept in checkpoints.
        order = (torch.randperm(units) if shuffle else torch.arange(units)).to(device)
        # Parts differ in size by one row or sequence at most; with fewer rows than parts, some are empty.
        for chosen in order.tensor_split(parts):
            if lengths is None:
                yield {name: values.index_select(0, chosen) for name, values in columns.items()}
            else:
                yield rows_of_sequences(columns, lengths, chosen)


def standardized(advantages: Tensor, rows: int) -> Tensor:
    """Return advantages [R] in units of the moments of all learners' first `rows`, bounded as RLlib's PPO does."""
    mean, variance, _ = batch_moments(advantages[:rows])
    return (advantages - mean) / variance.sqrt().clamp(min=1e-4)


def with_largest_advantages(columns: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the columns of the `share` of all learners' rows with the largest absolute advantages, in their order.

    Of sequences, those with the largest mean; with equal advantages more than that. Most rows of a batch say little
    about which action is better; leaving them out makes an update cheaper (Cusumano-Towner et al., 2025, "Robust
    autonomy emerges from self-play").
    """
    # 1. The size of each unit: absolute advantage of each row [R], or their mean over each sequence [S].
    sizes, lengths = columns[Columns.ADVANTAGES].abs(), columns.get(LENGTHS)
    if lengths is not None:
        owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)  # [R]: its sequence
        sizes = torch.zeros(len(lengths), device=sizes.device).index_add(0, owner, sizes) / lengths
    # 2. The threshold: the ceil(share * n)-th largest of the n units of all learners.
    of_all = rows_of_learners(sizes)
    least = of_all.topk(math.ceil(share * len(of_all)), sorted=False).values.min()
    chosen = (~(sizes < least)).nonzero()[:, 0]  # those that are not a number, too: the gradient step is skipped
    if lengths is not None:
        return rows_of_sequences(columns, lengths, chosen)
    return {name: values.index_select(0, chosen) for name, values in columns.items()}


def rows_of_sequences(columns: Mapping[str, Tensor], lengths: Tensor, chosen: Tensor) -> dict[str, Tensor]:
    """Return the rows of the sequences with indices `chosen` [C], one sequence after the other."""
    # cumsum - lengths is the first row of each sequence. A chosen row is its sequence's first row + its position there.
    starts, chosen_lengths = (lengths.cumsum(0) - lengths)[chosen], lengths[chosen]
    firsts = (chosen_lengths.cumsum(0) - chosen_lengths).repeat_interleave(chosen_lengths)
    positions = torch.arange(int(chosen_lengths.sum()), device=lengths.device) - firsts
    rows = starts.repeat_interleave(chosen_lengths) + positions
    return {
        name: values.index_select(0, chosen if name in (LENGTHS, MEMORY) else rows) for name, values in columns.items()
    }

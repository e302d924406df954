"""What learners that train together exchange: sums over their rows. Alone, a learner exchanges nothing.

Each learner has rows of its own, as in DD-PPO (Wijmans et al., 2020, "DD-PPO: Learning near-perfect PointGoal
navigators from 2.5 billion frames"). Where we differ: everything that a batch decides is of all rows (gradients are
weighted by rows; moments are in `players/modules/batch_moments.py`), so that n learners learn what one would from all
their rows, however unequal their parts are. Every learner makes the same calls in the same order, with or without rows.

With `runtime.average_every` learners take gradient steps alone, and average their weights now and then: local SGD
(Stich, 2019, "Local SGD converges fast and communicates little"). The moments of Adam are averaged, too, so that
learners are equal after every update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from marl_app.players.modules.actor_critic import LENGTHS, MEMORY

Columns = Mapping[str, NDArray[Any]]


def together() -> bool:
    """Return whether this process is one of several learners."""
    return bool(distributed.is_available() and distributed.is_initialized())


def counts_of_learners(counts: Sequence[int], device: torch.device) -> list[list[int]]:
    """Return these numbers of each learner, in the order of the learners."""
    if not together():
        return [list(counts)]
    own = torch.tensor(counts, device=device)
    found = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, own)
    return [numbers.tolist() for numbers in found]


def mean_of_learners(values: Tensor, rows: int) -> Tensor:
    """Return the mean [n] over the rows of all learners; each has the mean `values` [n] over its `rows` rows."""
    if not together():
        return values
    # Weighted sums [n], and the number of rows in the last place, in one all-reduce.
    sums = torch.cat([values, values.new_ones(1)]) * rows
    distributed.all_reduce(sums)
    return sums[:-1] / sums[-1]


def rows_of_learners(values: Tensor) -> Tensor:
    """Return the values [R] of all learners, one learner after the other; each has values [its rows]."""
    if not together():
        return values
    # The learners have different numbers of rows, which an all-gather of tensors does not allow: send pickled objects.
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, values.cpu())
    return torch.cat(found).to(values.device)


def average_gradients(parameters: Sequence[Tensor], rows: int) -> None:
    """Give all learners the mean of their gradients, weighted by rows: one all-reduce of all of them as one vector."""
    if not together():
        return
    for parameter in parameters:
        if parameter.grad is None:  # the vector has the same length in every learner
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # The gradients as one vector, whose mean is then split into parts in the same order.
    flat = mean_of_learners(torch.cat([gradient.flatten() for gradient in gradients]), rows)
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def average_weights(optimizer: torch.optim.Optimizer, rows: int) -> None:
    """Give all learners the mean of their weights and of the optimizer's state, weighted by rows trained on."""
    if not together():
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = [value for parameter in parameters for _, value in sorted(optimizer.state[parameter].items())]
    tensors = [*parameters, *moments]
    with torch.no_grad():
        flat = mean_of_learners(torch.cat([tensor.flatten() for tensor in tensors]), rows)
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def with_borrowed_row(columns: Columns, rows: Sequence[int]) -> Columns:
    """Return a learner's columns; the first row (or sequence) of another learner if it has none.

    rows: of each learner, not all 0. A learner without rows still needs the shapes and dtypes of its columns.
    """
    if all(rows):
        return columns
    # All learners take part in the broadcast, since it is collective. The lender sends one row, or one sequence of
    # `length` rows; columns with one row per sequence always send one.
    lender = next(index for index, count in enumerate(rows) if count)
    length = 1
    if distributed.get_rank() == lender and LENGTHS in columns:
        length = int(columns[LENGTHS][0])
    lent = [{name: values[: 1 if name in (LENGTHS, MEMORY) else length] for name, values in columns.items()}]
    distributed.broadcast_object_list(lent, lender)
    return columns if columns else lent[0]


def joined(parts: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    """Return columns [R, ...] one after the other; without copying them if there is only one part."""
    if len(parts) < 2:
        return dict(parts[0]) if parts else {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

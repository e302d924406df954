"""Mean and variance of a batch whose rows are spread over the processes that train together.

Chan, Golub and LeVeque, 1983: two passes, so that a large mean does not cancel the variance.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def batch_moments(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean [*shape], variance [*shape] and number [] of the rows, float32 [R, *shape], of all processes.

    With several learners each calls this for its own rows, possibly none, and all get the same bits.
    """
    count = rows.new_tensor(float(len(rows)))
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows.mean(dim=0), rows.var(dim=0, correction=0), count
    # First pass: the mean over all processes. The number of rows travels as the last entry of the vector.
    sums = torch.cat([rows.sum(dim=0).flatten(), count[None]])
    distributed.all_reduce(sums)
    count = sums[-1]
    mean = (sums[:-1] / count).view(rows.shape[1:])
    # Second pass: squared distances to that mean. The sum of no rows is 0, not NaN.
    squares = ((rows - mean) ** 2).sum(dim=0)
    distributed.all_reduce(squares)
    return mean, squares / count, count

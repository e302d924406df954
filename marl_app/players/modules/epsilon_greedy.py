"""Epsilon-greedy policies as a categorical distribution, so that sampling and greedy play need no special case."""

from __future__ import annotations

import torch
from torch import Tensor

ILLEGAL = -1e9
"""Logit of an illegal action. It is finite, because -inf makes entropy and KL divergence NaN."""


def log_epsilon_greedy(values: Tensor, mask: Tensor | None, epsilon: Tensor) -> Tensor:
    """Return log-probabilities [R, n]: with probability `epsilon` a uniform legal action, else the best legal one.

    values: [R, n], of all actions. mask: legal actions [R, n], or None if all are legal. Actions with probability 0
    have the log-probability ILLEGAL.
    """
    legal = torch.ones_like(values, dtype=torch.bool) if mask is None else mask.bool()
    best = values.where(legal, torch.full_like(values, ILLEGAL)).argmax(dim=1, keepdim=True)
    # The clamp avoids 0 / 0 in rows without a legal action.
    probabilities = epsilon * legal / legal.sum(dim=1, keepdim=True).clamp(min=1)
    probabilities = probabilities.scatter_add(1, best, (1 - epsilon).expand(best.shape))
    return torch.where(probabilities > 0, probabilities.log(), ILLEGAL)

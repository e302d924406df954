"""Epsilon-greedy play as a distribution, sampled or maximized like any other."""

from __future__ import annotations

import torch
from torch import Tensor

ILLEGAL = -1e9
"""Logit of an illegal action: finite, so that entropy and KL stay finite (-inf gives NaN)."""


def log_epsilon_greedy(values: Tensor, mask: Tensor | None, epsilon: Tensor) -> Tensor:
    """Log-probabilities [R, n]: with `epsilon` any legal action, each as likely as another, else the best legal one.

    values: [R, n], of every action. mask: legal actions, [R, n], or None. What is never done has ILLEGAL.
    """
    legal = torch.ones_like(values, dtype=torch.bool) if mask is None else mask.bool()
    best = values.where(legal, torch.full_like(values, ILLEGAL)).argmax(dim=1, keepdim=True)
    probabilities = epsilon * legal / legal.sum(dim=1, keepdim=True).clamp(min=1)
    probabilities = probabilities.scatter_add(1, best, (1 - epsilon).expand(best.shape))
    return torch.where(probabilities > 0, probabilities.log(), ILLEGAL)

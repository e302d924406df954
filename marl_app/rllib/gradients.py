"""Clipping of gradients by RLlib's meanings, and the step of an optimizer that skips gradients that are not finite."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from marl_app.config.errors import RunFailedError

logger = logging.getLogger(__name__)

MOST_SKIPPED = 100
"""Gradient steps in a row that may be skipped."""


class NonFiniteGradientError(RunFailedError):
    """Training does nothing any more; the message says why."""


def clip_gradients(parameters: Sequence[Tensor], bound: float | None, by: str) -> Tensor:
    """Clip the gradients by RLlib's `grad_clip` and `grad_clip_by`. Return their global norm before clipping, []."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm: Tensor = torch.nn.utils.get_total_norm(gradients, foreach=True)
    if bound is None:
        return norm
    # RLlib's three meanings of `grad_clip`.
    if by == "global_norm":
        torch.nn.utils.clip_grads_with_norm_(parameters, bound, norm, foreach=True)
    elif by == "norm":  # each parameter's gradient separately
        for gradient in gradients:
            # The small constant, as in torch's clipping, avoids a division by 0.
            gradient.mul_((bound / (gradient.norm() + 1e-6)).clamp(max=1.0))
    else:
        torch.nn.utils.clip_grad_value_(parameters, bound, foreach=True)
    return norm


def clip_and_step(optimizer: Any, parameters: Sequence[Tensor], bound: float | None, by: str, module_id: str) -> Tensor:
    """Clip the gradients and make the optimizer's step. Return the global norm before clipping, [].

    A gradient that is not finite would destroy the weights: that step is skipped, with a warning. `optimizer.skipped`
    counts such steps since the last good one.

    Raises NonFiniteGradientError after MOST_SKIPPED of them in a row.
    """
    norm = clip_gradients(parameters, bound, by)
    # One number that is not finite, in any gradient, makes the global norm infinite or NaN: one test for all.
    if torch.isfinite(norm):
        optimizer.step()
        optimizer.skipped = 0
        return norm
    optimizer.skipped = getattr(optimizer, "skipped", 0) + 1
    if optimizer.skipped == 1:
        logger.warning("the gradient of %s is not finite: this step is skipped", module_id)
    if optimizer.skipped >= MOST_SKIPPED:
        raise NonFiniteGradientError(
            f"{MOST_SKIPPED} gradients of {module_id} in a row were not finite, so that nothing is learned: lower "
            "algorithm.lr, or look for rewards or observations of extreme size (algorithm.normalize_rewards, "
            "model.normalize_observations); the last checkpoint has the weights before"
        )
    return norm

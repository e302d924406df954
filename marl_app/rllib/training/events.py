"""RLlib's callbacks, and the events that a league adds to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.rllib.callbacks.callbacks import RLlibCallback

from marl_app.rllib.sampling.fragments import Fragment, Request

if TYPE_CHECKING:
    from marl_app.rllib.training.algorithm import MatchAlgorithm


class MatchCallback(RLlibCallback):
    """A callback that lives in the algorithm's process and may take part in matchmaking."""

    def on_sample_request(self, *, algorithm: MatchAlgorithm, request: Request, **kwargs: Any) -> None:
        """Before an env runner is asked for a fragment. `request.assignment` is to be filled in by one callback."""

    def on_fragment(self, *, algorithm: MatchAlgorithm, fragment: Fragment, **kwargs: Any) -> None:
        """After a fragment has arrived, before it is trained on."""

    def on_message(self, *, algorithm: MatchAlgorithm, text: str, **kwargs: Any) -> None:
        """Something a user should read: a freeze, an evaluation."""

    def on_scalars(self, *, algorithm: MatchAlgorithm, values: dict[str, float], **kwargs: Any) -> None:
        """Metrics that do not come with every iteration."""

    def on_image(self, *, algorithm: MatchAlgorithm, key: str, pixels: Any, **kwargs: Any) -> None:
        """A picture, uint8 [height, width, 3]."""

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> None:
        """Once, when the run ends, however it ends."""

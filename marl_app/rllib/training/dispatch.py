"""Calls callbacks at events, and hands on what they answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from marl_app.rllib.training.events import CallbackResult, Image, RunReport, results_of

RUN_LOG = "marl_app.messages"
"""The logger of what the user is shown, which `conf/hydra/default.yaml` writes to the log file alone."""


class EventDispatcher:
    """Calls the hooks of all callbacks, in the order of the configuration's `callbacks`.

    callbacks: all callbacks of the run. arguments: keyword arguments of every hook. accept: takes over the measurements
    of a result. make_report: (metrics, images, messages, whether of a whole iteration) -> what `on_report` receives.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        arguments: Mapping[str, Any],
        accept: Callable[[CallbackResult], None],
        make_report: Callable[..., RunReport],
    ) -> None:
        self._callbacks = callbacks
        self._arguments = arguments
        self._accept = accept
        self._make_report = make_report

    def answers(self, event: str, **arguments: Any) -> Iterator[Any]:
        """Yield what each hook of an event returns, one after the other; the next hook is called on demand."""
        for callback in self._callbacks:
            hook = getattr(callback, event, None)  # a callback that is only RLlib's lacks our events
            if hook is not None:
                yield hook(**self._arguments, **arguments)

    def results(self, event: str, **arguments: Any) -> Iterator[CallbackResult]:
        """Call the hooks of an event; yield each result after its measurements and messages have taken effect."""
        for answer in self.answers(event, **arguments):
            for result in results_of(answer):
                # Before the next hook is called, so that later callbacks see the effects of earlier ones.
                self._accept(result)
                if result.messages:
                    self.report({}, {}, messages=result.messages)
                yield result

    def fire(self, event: str, **arguments: Any) -> None:
        """Call the hooks of an event; their metrics and images are reported at once."""
        for result in self.results(event, **arguments):
            if result.metrics or result.images:
                self.report(result.metrics, result.images)

    def report(
        self,
        metrics: Mapping[str, float],
        images: Mapping[str, Image],
        messages: Sequence[str] = (),
        iteration: bool = False,
    ) -> None:
        """Fire `on_report`. Messages are also lines of the run's log file."""
        for message in messages:
            logging.getLogger(RUN_LOG).info("%s", message)
        # `answers` is a generator: each step of the loop calls one hook.
        for _ in self.answers("on_report", report=self._make_report(metrics, images, messages, iteration)):
            pass

    def message(self, text: str) -> None:
        """Show the user a line."""
        self.report({}, {}, messages=(text,))

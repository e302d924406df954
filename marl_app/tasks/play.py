"""Play: a person against the agent of a run, in the terminal or on a local page.

python -m marl_app task=play run=runs/league/<time>
python -m marl_app task=play run=DIR task.player=main@0003 task.side=1 task.greedy=true
python -m marl_app task=play run=DIR task.ui=web

Trains nothing and does not start Ray. The same seed and moves give the same match.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

from rich.console import Console

from marl_app.assembly.instantiate import config_errors, env_factory
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.playing.session import Session, agents_of_side
from marl_app.playing.terminal import Terminal
from marl_app.playing.web import serve
from marl_app.tasks.opened_run import environment, open_run

TERMINAL, WEB = "terminal", "web"


@dataclass
class Play(Section):
    """The task. It returns 0."""

    path: ClassVar[str] = "task"
    ui: str = key("Where to play.", choices=(TERMINAL, WEB))
    player: str | None = key("The opponent; null = the newest learner.")
    side: str | int = key("Number of the side that the person plays, or the name of an agent.")
    greedy: bool = key("Whether the agent takes its most probable action instead of a sampled one.")
    anchors: list[str] = key("Bots that are also offered as opponents.", pattern="random|mcts_[1-9][0-9]*")
    port: int = key("Port of the page; 0 = any that is free.", at_least=0, at_most=65535)

    def __call__(self, config: Config) -> float:
        """Play until the person leaves."""
        members = open_run(config)
        make_env = env_factory(environment(members))
        with config_errors("run"):
            env = make_env(1)
        with closing(env):
            env.enable_rendering(prefer_text=self.ui == TERMINAL)
            # `Session` makes the same check; made first, it names the right key.
            with config_errors("task.side"):
                agents_of_side(env, self.side)
            with config_errors("task.player"):
                session = Session(
                    env, members, self.player, self.side, config.seed, greedy=self.greedy, anchors=self.anchors
                )
            if self.ui == TERMINAL:
                Terminal(session, Console()).run()
                return 0.0
            try:
                serve(session, members.run.name, self.port)
            except OSError as error:
                reason = os.strerror(error.errno or 0)
                raise ConfigError(
                    f"task.port={self.port}: {reason}: give another, or 0 for any that is free"
                ) from error
        return 0.0

"""Train robust agents for multi-agent games: `python -m marl_app +experiment=league`.

    agent = marl_app.load_agent("runs/league/<time>")
    action = agent.act(observation, action_mask)

Importing the package is cheap; torch is imported when an agent is loaded, and Ray when one is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marl_app.players.native_agent import NativeAgent
    from marl_app.store.store import Store

__version__ = "0.2.0"


def load_agent(
    run: str | Path,
    player: str | None = None,
    store: Store | None = None,
    trust: bool = False,
    average_symmetries: bool = False,
) -> NativeAgent:
    """Return the agent that a run trained: its newest main, or any snapshot, as `player="main@0003"`.

    The agent takes what the environment gives, one observation or a stack of them, and returns actions of the
    environment's space: `agent.act(observation, action_mask)`, `agent.probabilities(observation, action_mask)`. Ray
    is not even imported.
    store: where the run kept its snapshots, if not in its directory; e.g. a `store.object_store.ObjectStore`.
    trust: import the classes that the run names although this user did not start it; docs/security.md.
    average_symmetries: play the mean of the agent's action probabilities over all symmetric views of an observation, in
        games that state their symmetries, such as the two mirror images of Connect Four; takes a pass per view.
    Raises FileNotFoundError if `run` holds no checkpoint, KeyError for a player that it does not have, ValueError if
    the player is malformed, has no symmetries to average over, or needs a class that is not marl_app's and may not be
    imported.
    """
    from marl_app.players.native_agent import NativeAgent
    from marl_app.runs.load import load_bytes

    return NativeAgent(load_bytes(Path(run).expanduser(), player, store, trust), average_symmetries)

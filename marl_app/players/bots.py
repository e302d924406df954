"""Bots: players that are made from a name and the environment, not from weights.

random, mcts_100            anchors (see `anchors.py`)
package.module.Class        somebody's own: made with the environment, it is a `Policy` or a `Follower`

A bot has bytes too, so that it can sit in a pool like any snapshot: its name, and no weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from marl_app.envs.batched import BatchedEnv
from marl_app.players.anchors import make_anchor, simulations_of_anchor
from marl_app.players.policy import Follower, Policy
from marl_app.store.codec import encode

BOT = "bot"
"""The key of a bot's metadata that holds its name."""


def is_anchor(name: str) -> bool:
    """Whether this is the name of an anchor."""
    try:
        simulations_of_anchor(name)
    except ValueError:
        return False
    return True


def make_bot(env: BatchedEnv, name: str) -> Policy | Follower:
    """The bot of this name for this environment, which it may look at but not keep: it is closed.

    Raises ValueError, with the reason, if there is none or it cannot play.
    """
    if is_anchor(name):
        return make_anchor(env, name)
    module, _, class_name = name.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no class {name}: {error}") from error
    try:
        bot = made(env)
    except Exception as error:  # somebody's own code
        raise ValueError(f"{name} cannot be made with the environment: {type(error).__name__}: {error}") from error
    if not (isinstance(bot, Follower) or (hasattr(bot, "act") and hasattr(bot, "memory_size"))):
        raise ValueError(f"{name} is no player: it needs act and memory_size (Policy), or start, choose and follow")
    return bot


def encode_bot(name: str) -> bytes:
    """The bytes of a bot."""
    return encode({}, {BOT: name})


def bot_name(metadata: Mapping[str, Any]) -> str | None:
    """The name of the bot whose decoded metadata this is; None if it is a network's."""
    return metadata.get(BOT)

"""Bots: players that are made from a name and the environment, not from weights.

random, mcts_100            anchors (see `anchors.py`)
package.module.Class        a user's class: called with the environment, it makes a `Policy` or a `Follower`

A bot is encoded as its name without weights, so that a pool can hold it like a snapshot.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from marl_app.envs.batched import BatchedEnv
from marl_app.players.anchors import make_anchor, simulations_of_anchor
from marl_app.players.imports import imported_class
from marl_app.players.policy import Follower, Policy
from marl_app.store.codec import encode

BOT = "bot"
"""The key of the bot's name in its metadata."""


def is_anchor(name: str) -> bool:
    """Return whether this is the name of an anchor."""
    try:
        simulations_of_anchor(name)
    except ValueError:
        return False
    return True


def import_bot(name: str) -> None:
    """Import the class of a bot that the user has named. Raises ValueError if it does not exist."""
    module = name.rpartition(".")[0]
    if not is_anchor(name):
        try:
            getattr(importlib.import_module(module), name.rpartition(".")[2])
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"class {name} does not exist: {error}") from error


def make_bot(env: BatchedEnv, name: str) -> Policy | Follower:
    """Return the bot with this name, an anchor's or that of an imported class, for this environment.

    The bot may read `env` but must not keep it, because the caller closes it.
    Raises ValueError with the reason if the class is not imported, or if the bot cannot play the environment.
    """
    if is_anchor(name):
        return make_anchor(env, name)
    made = imported_class(name)
    # Before anything is called: a name can come from a file, and name any class.
    if not (hasattr(made, "act") or hasattr(made, "choose")):
        raise ValueError(f"{name} is not a player: it must be a class with act (Policy) or choose (Follower)")
    try:
        bot: Policy | Follower = made(env)
    except Exception as error:  # a user's class may raise anything
        raise ValueError(f"{name}(env) failed: {type(error).__name__}: {error}") from error
    # And again on the object: `memory_size` may be set by its constructor.
    if not (isinstance(bot, Follower) or (hasattr(bot, "act") and hasattr(bot, "memory_size"))):
        raise ValueError(
            f"{name} is not a player: it needs act and memory_size (Policy), or start, choose and follow (Follower)"
        )
    return bot


def encode_bot(name: str) -> bytes:
    """Return the bytes of the bot with this name."""
    return encode({}, {BOT: name})


def bot_name(metadata: Mapping[str, Any]) -> str | None:
    """Return the bot's name in decoded metadata; None for a player with a network."""
    name: str | None = metadata.get(BOT)
    return name

"""What PettingZoo's own environments do not say to people: names of actions, and what a player of a card game may see.

PettingZoo draws a match for all agents at once. Of its card games that shows all hands, so until the match is over a
player gets a text of its own cards instead of the picture. An environment that is not in these tables has numbers as
names, and is taken to show nothing that an agent may not know.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_MOVES = ("nothing", "left", "right", "down", "up")
_LIMIT = ("call", "raise", "fold", "check")
_NAMES: dict[str, Sequence[str]] = {
    "connect_four": [str(column + 1) for column in range(7)],
    "tictactoe": [f"{column}{row}" for column in "abc" for row in (1, 2, 3)],
    "rps": ["rock", "paper", "scissors", "spock", "lizard"],
    "leduc_holdem": _LIMIT,
    "texas_holdem": _LIMIT,
    "texas_holdem_no_limit": ["fold", "check or call", "raise half pot", "raise pot", "all in"],
    **{
        f"simple{scenario}": _MOVES
        for scenario in ("", "_adversary", "_formation", "_line", "_push", "_spread", "_tag")
    },
}
"""Names of Discrete actions by game: the last part of the module's path, without its version."""
_CARD_GAMES = ("leduc_holdem", "texas_holdem", "texas_holdem_no_limit")
# Games whose pictures show what a player may not see. Of Hanabi, a player is shown nothing.
_HIDDEN = (*_CARD_GAMES, "hanabi")


def game_name(module: str) -> str:
    """Return the name of a game in the tables: "pettingzoo.classic.rps_v2" -> "rps"; "" for other packages."""
    package, _, name = module.rpartition(".")
    return name.rpartition("_v")[0] if package.partition(".")[0] in ("pettingzoo", "mpe2") else ""


def known_name(game: str, env: Any, agent: int, action: Any) -> str | None:
    """Return the name of an action of the agent with this index; None if it is not known."""
    if game == "chess":
        # Thousands of actions: the environment's own module decodes them.
        chess = importlib.import_module("pettingzoo.classic.chess.chess_utils")
        return str(chess.action_to_move(env.unwrapped.board, int(action), agent).uci())
    names = _NAMES.get(game, ())
    is_discrete = np.ndim(action) == 0 and np.asarray(action).dtype.kind in "iu"
    return names[int(action)] if is_discrete and int(action) < len(names) else None


def hides_from(game: str, agent: int | None) -> bool:
    """Return whether the picture of a game shows what the agent may not see; None: an agent that may see all."""
    return agent is not None and game in _HIDDEN


def own_text(game: str, env: Any, agent: int) -> str | None:
    """Return what a player of a card game sees, as lines; None for other games."""
    if game not in _CARD_GAMES:
        return None
    seen = env.unwrapped.env.get_state(agent)["raw_obs"]  # RLCard's state of this player
    return "\n".join(f"{key.replace('_', ' ')}: {_plain(seen[key])}" for key in seen if "action" not in key)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value)) or "none"
    return "none" if value is None else str(value)

"""OpenSpiel's states as texts, and which actions a player sees.

In a game with hidden information a player is shown its own information state, and an action of another player only if
its information state tells it: if each other legal action would lead to another one. So bets in poker are seen, and
moves of phantom tic-tac-toe are not.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

KUHN, LEDUC = "kuhn_poker", "leduc_poker"


def state_text(state: Any, player: int | None) -> str:
    """Return a `pyspiel.State` as text, as this player sees it; None: all of it."""
    game = state.get_game()
    kind = game.get_type()
    if kind.short_name == KUHN:
        return _kuhn_text(state, player)
    if kind.short_name == LEDUC:
        return _leduc_text(state, player)
    if player is None or kind.information == _pyspiel().GameType.Information.PERFECT_INFORMATION:
        # Chess prints its state as a line of FEN, and has the board elsewhere.
        text = state.debug_string() if hasattr(state, "debug_string") else str(state)
    elif kind.provides_information_state_string:
        text = state.information_state_string(player)
    elif kind.provides_observation_string:
        text = state.observation_string(player)
    else:  # the caller shows the tensor
        return ""
    return _in_lines(text)


def action_text(state: Any, player: int, action: int, viewer: int | None) -> str | None:
    """Return OpenSpiel's name of a legal action of a player; None if `viewer` does not see it when it is played."""
    if viewer is not None and viewer != player and not _sees(state, player, action, viewer):
        return None
    return str(state.action_to_string(player, action)).strip()


def _sees(state: Any, player: int, action: int, viewer: int) -> bool:
    """Return whether the information state of `viewer` after the action differs from that after any other one."""
    kind, pyspiel = state.get_game().get_type(), _pyspiel()
    if kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION:
        return True
    if state.is_simultaneous_node() or not kind.provides_information_state_string:
        return False  # not known
    # Another action with the same information state afterwards could have been played as well, as far as it shows.
    after = {other: state.child(other).information_state_string(viewer) for other in state.legal_actions(player)}
    return after.pop(action) not in after.values()


def _kuhn_text(state: Any, player: int | None) -> str:
    """Return cards and pot of Kuhn poker, whose own texts are letters such as "0pb"."""
    # Each player has paid an ante of 1, and action 1 adds 1 to the pot.
    bets = sum(entry.player >= 0 and entry.action == 1 for entry in state.full_history())
    most = state.num_players()
    return "\n".join([*_cards(state, player, 1), f"cards are 0 to {most}, the highest wins; in the pot: {most + bets}"])


def _leduc_text(state: Any, player: int | None) -> str:
    """Return cards, bets and pot of Leduc poker, whose own texts number the two cards of each rank."""
    # The text of a state has lines such as "Pot: 4" and "Round 1 sequence: Call, Raise".
    public = dict(re.findall(r"^(Pot|Round \d sequence): *(.*)$", str(state), re.MULTILINE))
    suits = 1 if state.get_game().get_parameters().get("suit_isomorphism") else 2
    bets = [f"round {number}: {public[f'Round {number} sequence']}" for number in (1, 2)]
    rules = f"cards are 0 to {state.num_players()}, two of each; a pair with the table wins, else the higher card"
    pot = [] if state.is_terminal() else [f"in the pot: {public['Pot']}"]  # the winner has taken it
    return "\n".join([*_cards(state, player, suits), *bets, *pot, rules])


def _cards(state: Any, player: int | None, suits: int) -> list[str]:
    """Return a line for each card that was dealt, to the players in order and then to the table."""
    # Deals are the moves of chance, which has a negative id. Cards of one rank have numbers next to each other.
    dealt = [entry.action // suits for entry in state.full_history() if entry.player < 0]
    players = state.num_players()
    lines = [
        f"card of player_{owner}: {card if player in (None, owner) else '?'}"
        for owner, card in enumerate(dealt[:players])
    ]
    return [*lines, *(f"card on the table: {card}" for card in dealt[players:])]


def _in_lines(text: str) -> str:
    """Return a text with a line for each part, if it is of the form [part][part]."""
    parts = re.findall(r"\[([^\[\]]*)\]", text)
    return (
        "\n".join(part.strip() for part in parts)
        if text == "".join(f"[{part}]" for part in parts)
        else text.strip("\n")
    )


def _pyspiel() -> Any:
    """Return OpenSpiel, which is imported when a game is made."""
    return importlib.import_module("pyspiel")

"""OpenSpiel games as batched environments: turn-based or simultaneous, with chance and hidden information.

An agent observes its information state (everything it has seen so far) if the game has a tensor for it, otherwise the
observation of the current state. Chance outcomes are drawn from the generator that is passed in.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, Bools, Group, Openings
from marl_app.envs.copies import Copies, Copy, CopyStep
from marl_app.envs.openspiel_text import action_text, state_text
from marl_app.envs.sides import resolve_sides


class OpenSpiel(Copies):
    """`num_matches` matches of an OpenSpiel game; agents are `player_0`, ..., all in one group.

    game: an OpenSpiel game string, e.g. "kuhn_poker" or "goofspiel(num_cards=4,points_order=descending)".
    openings: only for turn-based games.
    sides: lists of agent names or patterns, such as [[player_0, player_2], [player_1, player_3]] for the partners of
        bridge; None: each player is a side, in games in which all get the same (hanabi) all are one team.

    Observation: float32, the information state tensor of the game if it has one, else its observation tensor. Action:
    OpenSpiel's action id. Raises ValueError, naming `env.game`, for a game that does not exist or is not supported.
    """

    def __init__(
        self,
        num_matches: int,
        game: str,
        openings: Openings | None = None,
        sides: Sequence[Sequence[str]] | None = None,
    ) -> None:
        game = str(game)
        loaded = load_game(game)
        if openings is not None and loaded.get_type().dynamics != _pyspiel().GameType.Dynamics.SEQUENTIAL:
            raise ValueError(
                f"env.openings: only turn-based games have openings, and env.game={game!r} is simultaneous; set null"
            )
        players = range(loaded.num_players())
        copies = [OpenSpielCopy(loaded) for _ in range(num_matches)]
        # OpenSpiel does not report bounds of its tensors.
        observation_space = spaces.Box(-np.inf, np.inf, copies[0].shape, np.float32)
        group = Group("player", tuple(players), observation_space, spaces.Discrete(loaded.num_distinct_actions()))
        agents = [f"player_{p}" for p in players]
        resolved = game_sides(loaded, agents, sides)
        stake = game_stake(loaded) if len(resolved) == 2 else None
        super().__init__(f"openspiel {game}", copies, agents, [group], resolved, openings, stake=stake)
        self.openspiel_game = game
        self._first_copy = copies[0]

    def observe_state(self, state: Any, agent: int) -> Array:
        """Return the observation of the agent in any state of the game (a `pyspiel.State`), encoded as by `observe`."""
        return self._first_copy.observe_state(state, agent)


class OpenSpielCopy(Copy):
    """A copy that plays matches of a loaded `pyspiel.Game`."""

    def __init__(self, game: Any) -> None:
        self._game = game
        self._from_information_state = game.get_type().provides_information_state_tensor
        self.shape = tensor_shape(game)
        self._invalid = _pyspiel().INVALID_ACTION

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match; chance moves are played up to the first decision."""
        self._state = self._game.new_initial_state()
        self._returns = np.zeros(self._game.num_players())
        self._play_chance(rng)

    def acting(self) -> Sequence[int]:
        """Return the player to move; at a simultaneous node all players that have legal actions."""
        if self._state.is_terminal():
            return []
        if self._state.is_simultaneous_node():
            return [player for player in range(self._game.num_players()) if self._state.legal_actions(player)]
        return [self._state.current_player()]

    def observe(self, agent: int) -> Array:
        """Return the information state tensor or observation tensor, float32."""
        return self.observe_state(self._state, agent)

    def observe_state(self, state: Any, agent: int) -> Array:
        """Return the same tensor for any state of the game."""
        if self._from_information_state:
            tensor = state.information_state_tensor(agent)
        else:
            tensor = state.observation_tensor(agent)
        return np.array(tensor, np.float32).reshape(self.shape)

    def mask(self, agent: int) -> Bools:
        """Return the legal actions, bool [num_distinct_actions]."""
        mask = np.zeros(self._game.num_distinct_actions(), np.bool_)
        mask[self._state.legal_actions(agent)] = True
        return mask

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Apply the actions, then play chance moves up to the next decision."""
        if self._state.is_simultaneous_node():
            # OpenSpiel needs an entry for every player: players without legal actions play INVALID_ACTION.
            players = range(self._game.num_players())
            self._state.apply_actions([int(actions[p]) if p in actions else self._invalid for p in players])
        else:
            [action] = actions.values()
            self._state.apply_action(int(action))
        self._play_chance(rng)
        # `state.rewards()` covers only the last transition, which may have been a chance move; the differences of the
        # returns so far cover all transitions of this step.
        returns = np.array(self._state.returns())
        rewards, self._returns = returns - self._returns, returns
        over = self._state.is_terminal()
        return CopyStep(rewards, np.full(len(rewards), over), np.zeros(len(rewards), np.bool_), over)

    def render(self, agent: int | None) -> str | None:
        """Return the state as text; in a game with hidden information as the agent sees it."""
        return state_text(self._state, agent) or None

    def action_name(self, agent: int, action: Any, viewer: int | None) -> str | None:
        """Return OpenSpiel's name of the action; None if the viewer does not see it."""
        return action_text(self._state, agent, int(action), viewer)

    def _play_chance(self, rng: np.random.Generator) -> None:
        while self._state.is_chance_node():
            outcomes, probabilities = zip(*self._state.chance_outcomes(), strict=True)
            # Inverse transform sampling; by rounding the sum of all probabilities may be slightly below 1.
            drawn = np.searchsorted(np.cumsum(probabilities), rng.random(), side="right")
            self._state.apply_action(outcomes[min(int(drawn), len(outcomes) - 1)])


def tensor_shape(game: Any) -> tuple[int, ...]:
    """Return the shape of observations: of information states if the game has tensors of them.

    An information state has the history of an agent, so a policy needs no memory.
    """
    if game.get_type().provides_information_state_tensor:
        return tuple(game.information_state_tensor_shape())
    return tuple(game.observation_tensor_shape())


def _pyspiel() -> Any:
    """Import OpenSpiel when a game is made, because its import is slow and other environments do not need it."""
    return importlib.import_module("pyspiel")


def game_stake(game: Any) -> float | None:
    """Return (highest - lowest utility) / 2 of a constant-sum `pyspiel.Game` of two players; None for other games."""
    utility = _pyspiel().GameType.Utility
    if game.num_players() != 2 or game.get_type().utility not in (utility.ZERO_SUM, utility.CONSTANT_SUM):
        return None
    stake = (game.max_utility() - game.min_utility()) / 2
    return float(stake) if 0 < stake < np.inf else None


def game_sides(game: Any, agents: Sequence[str], sides: Sequence[Sequence[str]] | None) -> list[tuple[int, ...]]:
    """Return the agents of each side of a `pyspiel.Game`; `sides` as in `OpenSpiel`. Raises ValueError."""
    if sides is None and game.get_type().utility == _pyspiel().GameType.Utility.IDENTICAL:
        sides = [["*"]]
    return resolve_sides(agents, sides)


def load_game(game: str | int) -> Any:
    """Load a game; a name may be a number (2048). Raises ValueError, naming `env.game`, if it cannot be played here."""
    pyspiel = _pyspiel()
    game = str(game)
    name = game.split("(")[0]
    # The name first, so that similar ones can be suggested.
    if name not in pyspiel.registered_names():
        near = difflib.get_close_matches(name, pyspiel.registered_names(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see pyspiel.registered_names()"
        raise ValueError(f"env.game={game!r}: OpenSpiel has no game {name!r}; {hint}")
    try:
        loaded = pyspiel.load_game(game)
    except Exception as error:  # SpielError, or what C++ raises for a missing parameter: "map::at"
        kinds = {kind.short_name: kind for kind in pyspiel.registered_games()}
        parameters = ", ".join(sorted(kinds[name].parameter_specification))
        needed = f"; its parameters: {parameters}" if parameters else ""
        raise ValueError(f"env.game={game!r} cannot be loaded: {' '.join(str(error).split())}{needed}") from error
    # Games that load, but that the contract cannot represent or whose matches a seed cannot reproduce.
    kind = loaded.get_type()
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise ValueError(f"env.game={game!r} is a mean-field game: it has no matches between players")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise ValueError(f"env.game={game!r} draws chance outcomes inside the game, so no seed can reproduce a match")
    if not (kind.provides_information_state_tensor or kind.provides_observation_tensor):
        raise ValueError(f"env.game={game!r} has no observations as tensors")
    try:
        tensor_shape(loaded)
    except pyspiel.SpielError as error:
        raise ValueError(f"env.game={game!r} has no observations as tensors: {' '.join(str(error).split())}") from error
    return loaded

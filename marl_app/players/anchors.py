"""Anchors: opponents that never change, so that scores are comparable across days and runs.

- `random`: uniform over the legal actions, for environments with at least two sides.
- `mcts_N`: OpenSpiel's Monte Carlo tree search with N simulations per move (UCT constant 2, one random rollout per
  leaf, MCTS-Solver), for OpenSpiel's sequential, deterministic games of perfect information with rewards at the end.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np

from marl_app.envs.batched import BatchedEnv, Ints
from marl_app.players.policy import Follower, Policy, RandomPolicy


def simulations_of_anchor(anchor: str) -> int | None:
    """Return N of `mcts_N`, or None for `random`. Raises ValueError for any other name."""
    match = re.fullmatch(r"mcts_([1-9]\d*)", anchor)
    if match:
        return int(match[1])
    if anchor == "random":
        return None
    raise ValueError(f"unknown anchor {anchor!r}: use random, or mcts_N with N simulations per move, as in mcts_100")


def unplayable_reason(env: BatchedEnv, anchor: str) -> str | None:
    """Return why the anchor cannot play this environment, or None if it can. Raises ValueError for an unknown name."""
    if simulations_of_anchor(anchor) is None:
        return None
    if len(env.sides) < 2:
        return "the environment has one side, so a player has no opponent"
    if env.openspiel_game is None:
        return "the environment names no OpenSpiel game with the same moves (its `openspiel_game`)"
    # The search copies states of OpenSpiel's game and plays them to their ends, which needs these properties.
    pyspiel = _pyspiel()
    game = pyspiel.load_game(env.openspiel_game).get_type()
    requirements = (
        (game.dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL, "is not sequential"),
        (game.chance_mode == pyspiel.GameType.ChanceMode.DETERMINISTIC, "has chance events"),
        (game.information == pyspiel.GameType.Information.PERFECT_INFORMATION, "has hidden information"),
        (game.reward_model == pyspiel.GameType.RewardModel.TERMINAL, "pays rewards before its end"),
    )
    reasons = [reason for met, reason in requirements if not met]
    return f"{env.openspiel_game} {' and '.join(reasons)}, which tree search cannot play" if reasons else None


def make_anchor(env: BatchedEnv, anchor: str) -> Policy | Follower:
    """Return the anchor as a player of this environment. Raises ValueError with the reason if it cannot play it."""
    # A reason instead of a failed search in the middle of a match.
    reason = unplayable_reason(env, anchor)
    if reason is not None:
        raise ValueError(f"anchor {anchor} is not applicable: {reason}")
    count = simulations_of_anchor(anchor)
    return RandomPolicy(env) if count is None else Mcts(str(env.openspiel_game), count)


class Mcts:
    """OpenSpiel's tree search as a `Follower`, with an OpenSpiel state and a seeded bot per match."""

    def __init__(self, game: str, simulations: int) -> None:
        self._game = _pyspiel().load_game(game)
        self._simulations = simulations
        self._states: list[Any] = []
        self._bots: list[Any] = []

    def start(self, num_matches: int, rng: np.random.Generator) -> None:
        """Make a state and a bot per match. Each bot has its own seed, so a match does not depend on other matches."""
        self._states = [self._game.new_initial_state() for _ in range(num_matches)]
        self._bots = [self._bot(int(seed)) for seed in rng.integers(2**31, size=num_matches)]

    def choose(self, matches: Ints, agents: Ints) -> Ints:
        """Return the actions, one search per row. Raises RuntimeError if OpenSpiel's game is not the environment's."""
        actions = np.empty(len(matches), np.int64)
        for row, (match, agent) in enumerate(zip(matches.tolist(), agents.tolist(), strict=True)):
            state = self._states[match]
            # The states follow the environment's moves, so two different games differ here first.
            if state.current_player() != agent:
                raise RuntimeError(
                    f"in match {match} player {state.current_player()} moves in OpenSpiel's {self._game}, but agent "
                    f"{agent} in the environment: its openspiel_game does not have the same moves"
                )
            actions[row] = self._bots[match].step(state)
        return actions

    def follow(self, matches: Ints, agents: Ints, actions: Ints) -> None:
        """Apply the moves to OpenSpiel's states."""
        for match, action in zip(matches.tolist(), actions.tolist(), strict=True):
            self._states[match].apply_action(action)

    def _bot(self, seed: int) -> Any:
        evaluator = _pyspiel().RandomRolloutEvaluator(n_rollouts=1, seed=seed)
        return _pyspiel().MCTSBot(
            self._game,
            evaluator,
            uct_c=2.0,
            max_simulations=self._simulations,
            max_memory_mb=1000,
            solve=True,
            seed=seed,
            verbose=False,
        )


def _pyspiel() -> Any:
    """Return the OpenSpiel module. It is imported on first use: other anchors and games work without it."""
    return importlib.import_module("pyspiel")

"""Matches of a person against the players of a run, one after the other; the terminal and the page show them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv
from marl_app.envs.board import Board, number_name, symbol
from marl_app.evaluation.contestants import Contestant, contestants
from marl_app.evaluation.match import Advice, Match
from marl_app.players.anchors import unplayable_reason
from marl_app.runs.members import Members

MOST_LISTED = 200
"""Legal actions of several parts that are listed by name; of more than these numbers are given."""


class Session:
    """A person at one side, or at one agent, of a match; the player chosen plays all others.

    env: has one match, renders, and is the caller's to close. members: of the run.
    player: a name as in `evaluation/contestants.py`; None: the newest learner of each side.
    side: number of the side, or the name of an agent that the person plays alone.
    seed: match n is that of the numbers (seed, n). greedy: whether players take their likeliest action.
    anchors: bots that are offered besides the players of the run, where they can play.
    Raises ValueError for a player or a side that does not exist or does not fit.
    """

    def __init__(
        self,
        env: BatchedEnv,
        members: Members,
        player: str | None,
        side: int | str,
        seed: int,
        *,
        greedy: bool,
        anchors: Sequence[str] = (),
    ) -> None:
        self.env, self.seed, self._members, self._greedy = env, seed, members, greedy
        self._anchors = [anchor for anchor in anchors if unplayable_reason(env, anchor) is None]
        self._loaded: dict[str, Contestant] = {}
        self.player, self.side, self.number = player, side, -1
        self.new_match()

    # Choices.

    @property
    def players(self) -> list[str]:
        """Players that can be chosen: learners, then snapshots, newest first, then anchors."""
        snapshots = [player for player in self._members.steps if "@" in player]
        return [*self._members.learners, *snapshots[::-1], *self._anchors]

    @property
    def sides(self) -> list[str]:
        """What a person can play, in words for `new_match`: a number for each side, or agents if sides have several."""
        if all(len(side) == 1 for side in self.env.sides):
            return [self.env.agents[side[0]] for side in self.env.sides]
        return list(self.env.agents)

    def new_match(self, player: str | None = None, side: int | str | None = None) -> None:
        """Start the next match; None: with the same player, at the same side.

        Raises ValueError, and changes nothing, for a player or a side that does not exist or does not fit.
        """
        # 1. What may fail comes first, so that a wrong choice leaves the match that is running.
        chosen = self.player if player is None else player
        at = self.side if side is None else side
        agents = agents_of_side(self.env, at)
        opponents = self._opponents(chosen)
        # By agent: None for those of the person, the opponent for all others.
        seats = [None if agent in agents else self._seat(opponents, agent) for agent in range(len(self.env.agents))]
        adviser = self._adviser(opponents, agents[0])
        # 2. Start the match.
        self.player, self.side, self.number = chosen, at, self.number + 1
        self._pending: dict[int, Any] = {}  # decisions of this step, while other agents of the person are waiting
        self.names = {agent: "you" if contestant is None else contestant.name for agent, contestant in enumerate(seats)}
        self.match = Match(
            self.env,
            [None if contestant is None else contestant.player for contestant in seats],
            (self.seed, self.number),
            greedy=self._greedy,
            adviser=None if adviser is None else adviser.player,
        )
        self._advance()

    # The match.

    @property
    def waiting(self) -> int | None:
        """The agent that the person decides for now; None when the match is over."""
        return next((agent for agent in self.match.waiting if agent not in self._pending), None)

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision to take back."""
        return bool(self._pending) or self.match.can_undo

    def legal(self) -> list[str] | None:
        """Return the names of the legal moves; None if there are too many, and numbers are given instead."""
        names = None if self.waiting is None else self._actions(self.waiting)
        return None if names is None else list(names)

    def describe_numbers(self) -> str:
        """Return what numbers a move consists of, where moves have no names."""
        assert self.waiting is not None
        space = self._space(self.waiting)
        if isinstance(space, spaces.MultiDiscrete):
            return "whole numbers, each from 0: " + " ".join(f"0..{size - 1}" for size in space.nvec.tolist())
        assert isinstance(space, spaces.Box)
        bounds = zip(space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
        return "numbers: " + " ".join(f"{low:g}..{high:g}" for low, high in bounds)

    def move(self, text: str) -> None:
        """Play a move by its name, or by a part of it that no other move has; then the players until the next turn.

        Raises ValueError, which says what is possible, for any other text.
        """
        agent = self.waiting
        if agent is None:
            raise ValueError("the match is over: start a new one, or take a move back")
        # With several agents of the person a step waits until the last of them has decided.
        self._pending[agent] = self._parse(agent, text)
        if self.waiting is None:
            decided, self._pending = self._pending, {}
            self.match.step(decided)
            self._advance()

    def undo(self) -> None:
        """Take back the last decision. Raises ValueError if there is none."""
        if self._pending:
            self._pending.popitem()
            return
        self.match.undo()
        self._advance()

    def advice(self) -> Advice:
        """Return what the agent would do in the person's place. Raises ValueError if it is not the person's turn."""
        if self.waiting is None:
            raise ValueError("the match is over")
        return self.match.advice(self.waiting)

    def result(self) -> str | None:
        """Return how the match ended, in words; None while it goes on."""
        if self.match.result is None:
            return None
        # A person at several agents has the side of the first.
        own = self.match.people[0]
        side = next(index for index, agents in enumerate(self.env.sides) if own in agents)
        score = self.match.result.scores[side]
        gains = zip(self.env.agents, self.match.result.returns, strict=True)
        returns = ", ".join(f"{agent} {gain:+.4g}" for agent, gain in gains)
        if len(self.env.sides) == 1 or np.isnan(score):
            return f"The match is over. Returns: {returns}"
        ended = "won" if score > 0.5 else "lost" if score < 0.5 else "drew"
        return f"You {ended}. Returns: {returns}"

    def seat_words(self) -> str:
        """Return who plays what: "you play player_0 (X); main plays player_1 (O)"."""
        has_pieces = isinstance(self.match.rendering(), Board)
        agents_of: dict[str, list[str]] = {}
        for agent, name in self.names.items():
            mark = f" ({symbol(agent)})" if has_pieces else ""
            agents_of.setdefault(name, []).append(f"{self.env.agents[agent]}{mark}")
        agents_of = {"you": agents_of.pop("you"), **agents_of}
        return "; ".join(f"{name} play{'' if name == 'you' else 's'} {', '.join(of)}" for name, of in agents_of.items())

    # Inside.

    def _advance(self) -> None:
        """Let the players play until the person is to decide, or the match is over."""
        while self.match.result is None and not self.match.waiting:
            self.match.step()

    def _opponents(self, player: str | None) -> list[Contestant]:
        """Return the player of each side, or one for all. Raises ValueError."""
        if player is not None:
            return [self._load(player)]
        learners = self._members.state.learners
        if learners[0].side is None:
            return [self._load(learners[0].lineage)]
        # In reverse, so that of several learners of a side the first one stays.
        by_side = {learner.side: learner.lineage for learner in reversed(learners)}
        return [self._load(by_side[side]) for side in sorted(side for side in by_side if side is not None)]

    def _load(self, name: str) -> Contestant:
        if name not in self._loaded:
            found = contestants(self.env, self._members, [name], len(self._members.steps), [])
            if len(found) != 1:
                raise ValueError(f"{name!r} matches {len(found)} players: name one of {self._members.describe()}")
            self._loaded[name] = found[0]
        return self._loaded[name]

    def _seat(self, opponents: Sequence[Contestant], agent: int) -> Contestant:
        """Return who plays the agent. Raises ValueError if no opponent can."""
        side = next(index for index, agents in enumerate(self.env.sides) if agent in agents)
        for contestant in opponents:
            if contestant.side in (None, side):
                return contestant
        raise ValueError(
            f"{opponents[0].name} plays side {opponents[0].side} only, and you chose it: play the other side"
        )

    def _adviser(self, opponents: Sequence[Contestant], agent: int) -> Contestant | None:
        """Return who says what it would do in the person's place: the opponent, if it can play that side."""
        try:
            return self._seat(opponents, agent)
        except ValueError:
            return None

    def _space(self, agent: int) -> spaces.Space[Any]:
        return next(group.action_space for group in self.env.groups if agent in group.agents)

    def _actions(self, agent: int) -> dict[str, Any] | None:
        """Return name -> legal action; None for continuous actions, and for more than MOST_LISTED of several parts."""
        space = self._space(agent)
        if not isinstance(space, spaces.MultiDiscrete):
            return self.match.legal_names(agent)
        # The mask of an action of several parts holds the parts one after the other: split it at their ends.
        mask = self.env.action_mask(np.zeros(1, np.int64), np.array([agent]))
        whole = np.ones(int(space.nvec.sum()), np.bool_) if mask is None else mask[0]
        parts = [np.flatnonzero(part).tolist() for part in np.split(whole, np.cumsum(space.nvec)[:-1])]
        # The legal actions are the products of the legal choices of all parts.
        if prod(map(len, parts)) > MOST_LISTED:
            return None
        return {str(self.env.action_name(0, agent, np.array(action))): np.array(action) for action in product(*parts)}

    def _parse(self, agent: int, text: str) -> Any:
        names = self._actions(agent)
        if names is None:
            return self._parse_numbers(agent, text)
        # Case and repeated blanks do not matter.
        wanted = " ".join(text.split()).casefold()
        by_name = {name.casefold(): action for name, action in names.items()}
        if wanted in by_name:
            return by_name[wanted]
        # The beginning of a name counts before other parts of it.
        for fits in (str.startswith, str.__contains__):
            near = [name for name in by_name if wanted and fits(name, wanted)]
            if len(near) == 1:
                return by_name[near[0]]
            if near:
                raise ValueError(
                    f"{text!r} may be {', '.join(near[:8])}{' ...' if len(near) > 8 else ''}: type more of it"
                )
        listed = "  ".join(list(names)[:12]) + ("  ..." if len(names) > 12 else "")
        raise ValueError(f"{text!r} is not a legal move: give one of {listed}")

    def _parse_numbers(self, agent: int, text: str) -> Any:
        space = self._space(agent)
        try:
            numbers = [float(word) for word in text.replace(",", " ").split()]
        except ValueError:
            raise ValueError(f"{text!r} is not a list of numbers: give {self.describe_numbers()}") from None
        shape = space.shape or ()
        if len(numbers) != int(np.prod(shape)):
            raise ValueError(f"{len(numbers)} numbers given: give {self.describe_numbers()}")
        if isinstance(space, spaces.MultiDiscrete):
            action: Any = np.array(numbers)
            # Whole numbers, within the bounds of each part, and legal now.
            if (action % 1).any() or not space.contains(action.astype(space.dtype)) or not self._allowed(agent, action):
                raise ValueError(f"{text!r} is not a legal move: give {self.describe_numbers()}")
            return action.astype(np.int64)
        assert isinstance(space, spaces.Box)
        action = np.array(numbers, np.float32).reshape(shape)
        if not ((action >= space.low) & (action <= space.high)).all():  # False for NaN
            raise ValueError(f"{number_name(action)} is out of bounds: give {self.describe_numbers()}")
        return action

    def _allowed(self, agent: int, action: Any) -> bool:
        """Return whether the mask of an action of several parts allows it."""
        space = self._space(agent)
        assert isinstance(space, spaces.MultiDiscrete)
        mask = self.env.action_mask(np.zeros(1, np.int64), np.array([agent]))
        # Index of the first entry of each part in the mask.
        begins = np.cumsum(space.nvec) - space.nvec
        return mask is None or bool(mask[0][begins + action.astype(np.int64)].all())


def agents_of_side(env: BatchedEnv, side: int | str) -> list[int]:
    """Return the agents that a person plays, for a side's number or an agent's name. Raises ValueError."""
    text, names = str(side), ", ".join(env.agents)
    if text in env.agents:
        agents = [env.agents.index(text)]
    elif text.isdecimal() and int(text) < len(env.sides):
        agents = list(env.sides[int(text)])
    else:
        raise ValueError(f"there is no side {side!r}: give a number from 0 to {len(env.sides) - 1}, or one of {names}")
    if len(agents) == len(env.agents):
        raise ValueError(f"side {side} has all agents, which leaves none to the player: give one of {names}")
    return agents

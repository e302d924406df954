"""One match, step by step: players decide for some agents and people for the others; moves can be taken back.

A match is what its seed and its actions make it: the environment draws from one generator, and a player in each step
from a generator of its own. So taking back is playing again from the start up to an earlier step, in any environment
that keeps the promise that the same seed gives the same match; and the same moves get the same answers again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Group
from marl_app.envs.board import Rendering
from marl_app.players.agent import Agent
from marl_app.players.policy import Follower, Policy, RandomPolicy

Player = Policy | Follower
_MATCH = np.zeros(1, np.int64)  # the only match, as row indices


class Move(NamedTuple):
    """An action that was played: its agent, its name, and whether the viewer saw it."""

    step: int
    agent: str
    name: str
    seen: bool


class Advice(NamedTuple):
    """What a player would do for an agent.

    probabilities: name of an action -> probability, likeliest first; of Discrete actions only. None: it gives none.
    action: the name of the action that it would take; None if it did not say.
    value: the discounted sum of rewards that its critic expects; None without one that sees what the agent sees.
    """

    probabilities: Mapping[str, float] | None
    action: str | None
    value: float | None


class Result(NamedTuple):
    """How a match ended: scores by side (NaN: took no part), and the undiscounted return of each agent."""

    scores: list[float]
    returns: list[float]


@dataclass(frozen=True)
class _Step:
    actions: dict[int, Array]
    moves: tuple[Move, ...]
    by_person: bool


class Match:
    """A match in `env`, which has one match and is the caller's to close.

    players: by agent; None where a person decides, and then `adviser` answers for that agent if it is asked.
    seed: numbers that name the match. greedy: whether players take their likeliest action.
    The match is seen by the first agent of a person, or by all if there is none; when it is over everything is shown.
    """

    def __init__(
        self,
        env: BatchedEnv,
        players: Sequence[Player | None],
        seed: Sequence[int],
        *,
        greedy: bool = False,
        adviser: Player | None = None,
    ) -> None:
        self.env = env
        self.people = [agent for agent, player in enumerate(players) if player is None]
        self.viewer = self.people[0] if self.people else None
        self._players = [player if player is not None else adviser for player in players]
        self._seed, self._greedy = tuple(seed), greedy
        self._start([])

    # What is there.

    @property
    def acting(self) -> list[int]:
        """The agents that must act now; none when the match is over."""
        return [] if self.result else np.flatnonzero(self.env.acting()[0]).tolist()

    @property
    def waiting(self) -> list[int]:
        """The agents that must act now and that people decide for."""
        return [agent for agent in self.acting if agent in self.people]

    @property
    def moves(self) -> list[Move]:
        """All actions so far; the name of one that the viewer has not seen is empty until the match is over."""
        moves = [move for step in self._steps for move in step.moves]
        return [move if move.seen or self.result else move._replace(name="") for move in moves]

    @property
    def can_undo(self) -> bool:
        """Whether a person has decided in this match."""
        return any(step.by_person for step in self._steps)

    @property
    def length(self) -> int:
        """Number of steps so far."""
        return len(self._steps)

    def rendering(self) -> Rendering:
        """Return what the environment shows the viewer, or what the viewer observes if it shows nothing."""
        viewer = None if self.result else self.viewer
        rendering = self.env.render(0, viewer)
        # An environment that shows nothing is shown as what the viewer observes.
        if rendering is not None:
            return rendering
        agents = range(len(self.env.agents)) if viewer is None else [viewer]
        seen = [self.env.observe(_MATCH, np.array([agent]))[0] for agent in agents]
        return "\n".join(
            f"{self.env.agents[agent]} observes {np.array2string(row, precision=3, threshold=200, max_line_width=78)}"
            for agent, row in zip(agents, seen, strict=True)
        )

    def legal_names(self, agent: int) -> dict[str, int] | None:
        """Return name -> action of the legal actions of an acting agent; None if actions are not Discrete."""
        space = self._group(agent).action_space
        if not isinstance(space, spaces.Discrete):
            return None
        mask = self.env.action_mask(_MATCH, np.array([agent]))
        legal = range(int(space.n)) if mask is None else np.flatnonzero(mask[0]).tolist()
        return {self._name(agent, action): action for action in legal}

    def advice(self, agent: int) -> Advice:
        """Return what the agent's player, or the adviser, would do for an acting agent, from what the agent sees."""
        player = self._players[agent]
        if player is None:
            return Advice(None, None, None)
        rows = self._rows(agent)
        probabilities = value = None
        names = self.legal_names(agent)
        # 1. Probabilities, of players that state them.
        if names is not None and isinstance(player, Agent | RandomPolicy):
            memory = (self._memory(agent),) if isinstance(player, Agent) else ()
            row = player.probabilities(rows[0], rows[1], rows[2], *memory)[0]
            by_name = {name: float(row[action]) for name, action in names.items()}
            probabilities = dict(sorted(by_name.items(), key=lambda item: -item[1]))
        # 2. The value of the critic.
        if isinstance(player, Agent):
            values = player.value(rows[0], rows[2], self._memory(agent))
            value = None if values is None else float(values[0])
        # 3. The likeliest action, of players without probabilities.
        action = None if probabilities else self._name(agent, self._decide(agent, greedy=True))
        return Advice(probabilities, action, value)

    # What happens.

    def step(self, decided: Mapping[int, Any] | None = None) -> None:
        """Play a step: `decided` by people (agent -> action), and by the players for all other acting agents.

        Raises ValueError for an action that is not legal, and if the match is over.
        """
        decided = decided or {}
        # All people must have decided: an environment steps all agents together.
        if self.result or set(self.waiting) - set(decided):
            raise ValueError("the match is over" if self.result else "a person has not decided yet")
        actions = {
            agent: np.asarray(decided[agent]) if agent in decided else self._decide(agent, greedy=self._greedy)
            for agent in self.acting
        }
        self._play(actions)

    def undo(self) -> None:
        """Take back the last decision of a person, and what came after it. Raises ValueError if there is none."""
        if not self.can_undo:
            raise ValueError("there is no move to take back")
        # Play again from the start, up to the last step in which a person decided.
        last = max(number for number, step in enumerate(self._steps) if step.by_person)
        self._start([step.actions for step in self._steps[:last]])

    def _start(self, played: Sequence[dict[int, Array]]) -> None:
        """Begin the match, and play these steps."""
        self._steps: list[_Step] = []
        self.result: Result | None = None
        # The numbers after the seed separate the generators: 0 environment, 1 actions (by step and agent), 2 followers.
        self._rng = np.random.default_rng((*self._seed, 0))  # of the environment
        self._returns = np.zeros(len(self.env.agents))
        self._memories: dict[int, Array] = {}  # agent -> float32 [1, memory_size] before its next action
        self.env.reset(self._rng)
        for number, follower in enumerate(self._followers()):
            follower.start(1, np.random.default_rng((*self._seed, 2, number)))
        for actions in played:
            # Replayed steps have the same acting agents unless the environment draws from another generator.
            if sorted(actions) != self.acting:
                raise RuntimeError("the environment does not play the same match again with the same seed")
            self._play(actions)

    def _play(self, actions: dict[int, Array]) -> None:
        # 1. Names and memories belong to the position before the step.
        moves = tuple(self._move(agent, action) for agent, action in actions.items())
        remembered = {agent: self._remember(agent) for agent in actions}
        # 2. One array [1, agents of the group, ...] per group; entries of agents that do not act stay 0.
        arrays = [self._empty(group) for group in self.env.groups]
        for group, array in zip(self.env.groups, arrays, strict=True):
            for place, agent in enumerate(group.agents):
                if agent in actions:
                    array[0, place] = actions[agent]
        step = self.env.step(arrays, self._rng)
        # 3. Followers see the moves of all agents.
        for follower in self._followers():
            agents = np.array(list(actions), np.int64)
            follower.follow(np.zeros_like(agents), agents, np.stack(list(actions.values())))
        self._memories |= {agent: memory for agent, memory in remembered.items() if memory is not None}
        self._steps.append(_Step(actions, moves, any(agent in self.people for agent in actions)))
        self._returns += step.rewards[0]
        # 4. Scores have to be read before a reset.
        if step.over[0]:
            self.result = Result(self.env.scores(_MATCH)[0].tolist(), self._returns.tolist())

    def _move(self, agent: int, action: Array) -> Move:
        seen = self.viewer is None or self.env.action_name(0, agent, action, self.viewer) is not None
        return Move(self.length, self.env.agents[agent], self._name(agent, action), seen)

    def _decide(self, agent: int, *, greedy: bool) -> Array:
        """Return the action of the agent's player. The generator is of this step and agent alone."""
        player = self._players[agent]
        assert player is not None
        if isinstance(player, Follower):
            return np.asarray(player.choose(_MATCH, np.array([agent]))[0])
        return np.asarray(self._act(player, agent, greedy)[0][0])

    def _remember(self, agent: int) -> Array | None:
        """Return the memory of the agent's player after its step; None without."""
        player = self._players[agent]
        if player is None or isinstance(player, Follower) or not player.memory_size:
            return None
        return self._act(player, agent, greedy=True)[1]

    def _act(self, player: Policy, agent: int, greedy: bool) -> tuple[Array, Array | None]:
        rng = np.random.default_rng((*self._seed, 1, self.length, agent))
        memory = self._memory(agent)
        chosen = player.act(*self._rows(agent), rng=rng, greedy=greedy, memory=memory)
        return (chosen, None) if memory is None else chosen

    def _memory(self, agent: int) -> Array | None:
        size = getattr(self._players[agent], "memory_size", 0)
        return self._memories.get(agent, np.zeros((1, size), np.float32)) if size else None

    def _rows(self, agent: int) -> tuple[Array, Any, Array]:
        """Return the agent's observation, mask and index, as rows."""
        agents = np.array([agent])
        return self.env.observe(_MATCH, agents), self.env.action_mask(_MATCH, agents), agents

    def _name(self, agent: int, action: Any) -> str:
        name = self.env.action_name(0, agent, action)
        assert name is not None  # without a viewer every action has a name
        return name

    def _followers(self) -> list[Follower]:
        return list({id(player): player for player in self._players if isinstance(player, Follower)}.values())

    def _group(self, agent: int) -> Group:
        return next(group for group in self.env.groups if agent in group.agents)

    def _empty(self, group: Group) -> Array:
        space = group.action_space
        dtype = np.float32 if isinstance(space, spaces.Box) else np.int64
        return np.zeros((1, len(group.agents), *(space.shape or ())), dtype)

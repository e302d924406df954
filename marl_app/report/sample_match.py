"""One match of the newest agent against its newest snapshot, or against itself, position by position."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from contextlib import closing

import numpy as np
from gymnasium import spaces
from matplotlib.image import imsave

from marl_app.envs.batched import Array, BatchedEnv, MakeEnv
from marl_app.envs.board import Board, View
from marl_app.players.agent import Agent
from marl_app.players.policy import Policy
from marl_app.report.blocks import Absent, Boards, Position
from marl_app.runs.load import load_bytes
from marl_app.runs.members import Members

MOST_POSITIONS = 48
MOST_STEPS = 2000
_MATCH = np.zeros(1, np.int64)  # the only match, as row indices


def sample_match(make_env: MakeEnv, members: Members, seed: int) -> Boards:
    """Play a match with sampled actions. The same seed gives the same match.

    Raises Absent for an environment that shows no match, and if the players are not agents with networks.
    """
    with closing(make_env(1)) as env:
        rng = np.random.default_rng(seed)
        env.reset(rng)
        if env.render(0) is None:
            raise Absent("this environment does not show its matches (BatchedEnv.render)")
        names = _names(members, len(env.sides))
        agents = {name: Agent(load_bytes(members.run, name, trust=members.trust)) for name in dict.fromkeys(names)}
        positions, scores = _play(env, [agents[name] for name in names], rng)
    shown = positions[-MOST_POSITIONS:]
    left_out = len(positions) - len(shown)
    who = ", ".join(f"{env.agents[side[0]]} is {name}" for side, name in zip(env.sides, names, strict=True))
    ended = (
        ", ".join(f"{name} {score:.3g}" for name, score in zip(names, scores, strict=True)) if scores else "not ended"
    )
    note = f" The first {left_out} positions are left out." if left_out else ""
    caption = (
        f"{who}. Scores: {ended}. Actions are sampled; in brackets the probability that the player gave them.{note}"
    )
    return Boards(shown, caption)


def _names(members: Members, sides: int) -> list[str]:
    """Return who plays each side: the newest agent the first one, and its newest snapshot, or itself, all others."""
    learners = members.state.learners
    if learners[0].side is not None:  # a pool per side: the first learner of each side
        return [next(learner.player.id for learner in learners if learner.side == side) for side in range(sides)]
    newest = learners[0].player.id
    own = [snapshot.player.id for snapshot in members.state.snapshots if snapshot.player.lineage == newest]
    return [newest, *[own[-1] if own else newest] * (sides - 1)]


def _play(env: BatchedEnv, players: Sequence[Policy], rng: np.random.Generator) -> tuple[list[Position], list[float]]:
    """Play the match in `env`, which has been reset; return its positions and scores by side, [] if it does not end.

    players: by side.
    """
    side_of = {agent: side for side, agents in enumerate(env.sides) for agent in agents}
    memories = {agent: np.zeros((1, players[side].memory_size), np.float32) for agent, side in side_of.items()}
    positions = [_position("start", env.render(0))]
    for number in range(1, MOST_STEPS + 1):
        played = []
        arrays = [_no_actions(group.action_space, len(group.agents)) for group in env.groups]
        acting = env.acting()[0]
        for group, array in zip(env.groups, arrays, strict=True):
            for place, agent in enumerate(group.agents):
                if acting[agent]:
                    player = players[side_of[agent]]
                    array[0, place], probability = _act(env, player, agent, memories, rng)
                    action = env.action_name(0, agent, array[0, place])
                    played.append(f"{env.agents[agent]}: {action}{probability}")
        step = env.step(arrays, rng)
        positions.append(_position(f"{number}. {', '.join(played)}", env.render(0)))
        if step.over[0]:
            return positions, env.scores(_MATCH)[0].tolist()
    return positions, []


def _act(
    env: BatchedEnv, player: Policy, agent: int, memories: dict[int, Array], rng: np.random.Generator
) -> tuple[Array, str]:
    """Return a sampled action and its probability in brackets, "" for actions without one; update the memory."""
    agents = np.array([agent])
    observation, mask = env.observe(_MATCH, agents), env.action_mask(_MATCH, agents)
    memory = memories[agent] if player.memory_size else None
    probability = ""
    chosen = player.act(observation, mask, agents, rng=rng, greedy=False, memory=memory)
    if memory is not None:
        chosen, memories[agent] = chosen
    if isinstance(player, Agent) and isinstance(player.spaces_of(agent)[1], spaces.Discrete):
        row = player.probabilities(observation, mask, agents, memory)[0]
        probability = f" ({row[int(chosen[0])]:.2f})"
    return chosen[0], probability


def _no_actions(space: spaces.Space[object], agents: int) -> Array:
    """Return actions [1, agents, ...] of a group in which no agent acts."""
    dtype = np.float32 if isinstance(space, spaces.Box) else np.int64
    return np.zeros((1, agents, *(space.shape or ())), dtype)


def _position(caption: str, view: View | None) -> Position:
    if isinstance(view, np.ndarray):
        buffer = io.BytesIO()
        imsave(buffer, view, format="png")
        return Position(caption, image=f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return Position(caption, view.text() if isinstance(view, Board) else view or "")

"""Who takes part in an evaluation, from names to players:

main, main@0003             the newest of a learner of the run, and one of its snapshots
*, *@*, main@*              patterns of such names; of each lineage's snapshots at most so many, evenly spaced over time
DIR, DIR:main@0003          a guest: the first learner of another run, or any player or pattern of it, by directory
random, mcts_100            anchors (see `anchors.py`)
package.module.Class        a bot: made with the environment, it is a `Policy` or a `Follower`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv
from marl_app.league.players import Player
from marl_app.players.agent import Agent, player_of
from marl_app.players.anchors import make_anchor
from marl_app.players.bots import encode_bot, is_anchor, make_bot
from marl_app.players.policy import Follower, Policy
from marl_app.runs.load import load_bytes
from marl_app.runs.members import Members
from marl_app.store.store import Store

RUN, GUEST, ANCHOR, BOT = "run", "guest", "anchor", "bot"
PLAYER_FORMS = "a run (DIR, DIR:main@0003), a digest, random, mcts_<simulations> or a class (package.module.Class)"


@dataclass(frozen=True, eq=False)
class Contestant:
    """A player, the name it goes by, what it is (run, guest, anchor or bot), and where it comes from.

    `agent_steps` are what a player of a run had trained on; None for anchors and bots. `side`: the only one that it
    plays; None: any.
    """

    name: str
    kind: str
    source: str
    player: Policy | Follower
    lineage: str | None = None
    agent_steps: int | None = None
    side: int | None = None


def contestants(
    env: BatchedEnv, members: Members, names: Sequence[str], snapshots: int, anchors: Sequence[str]
) -> list[Contestant]:
    """The named players of the run, by lineage and age, then all others in the order given, then the anchors.

    Raises ValueError, naming what is wrong, for a name that nobody has and for a player that cannot play `env`.
    """
    own: list[str] = []
    others: list[Contestant] = []
    for name in names:
        directory, colon, player = _directory(name)
        if directory is not None:
            guests = Members(directory)
            chosen = guests.matching(player, snapshots) if colon else guests.learners[:1]
            others += [_loaded(env, guests, one, f"{directory.name}:{one}", GUEST) for one in chosen]
        elif is_anchor(name):
            others.append(Contestant(name, ANCHOR, name, make_anchor(env, name)))
        elif "." in name:
            others.append(Contestant(name.rpartition(".")[2], BOT, name, make_bot(env, name)))
        else:
            own += members.matching(name, snapshots)
    run = [_loaded(env, members, name, name, RUN) for name in members.steps if name in own]
    anchored = [Contestant(name, ANCHOR, name, make_anchor(env, name)) for name in anchors]
    found: dict[str, Contestant] = {}
    for one in (*run, *others, *anchored):
        if (same := found.setdefault(one.name, one)).source != one.source:
            raise ValueError(f"{same.source} and {one.source} would both go by {one.name}: rename one of them")
    return list(found.values())


def _directory(name: str) -> tuple[Path | None, str, str]:
    """The directory, a colon and the player's name if it is a guest's; no directory otherwise."""
    path, colon, player = name.rpartition(":")
    if not colon:
        path, player = name, ""
    directory = Path(path).expanduser()
    if not (colon or "/" in path or directory.is_dir()):
        return None, "", ""
    if not directory.is_dir():
        raise ValueError(f"there is no directory {path}")
    return directory.resolve(), colon, player


def _loaded(env: BatchedEnv, members: Members, player: str, name: str, kind: str) -> Contestant:
    data, source = load_bytes(members.run, player), f"{members.run}:{player}"
    made = decode_player(env, data, f"{members.run}: {player}")
    if not isinstance(made, Agent):  # a guest in the pool of the run
        return Contestant(name, BOT, source, made)
    return Contestant(
        name, kind, source, made, Player.parse(player).lineage, members.steps[player], made.metadata.get("side")
    )


def decode_player(env: BatchedEnv, data: bytes, name: str) -> Policy | Follower:
    """The player whose bytes these are. ValueError, naming it, if it does not fit the environment."""
    try:
        made = player_of(data, env)
    except ValueError as error:
        raise ValueError(f"{name} cannot play here: {error}") from error
    if isinstance(made, Agent) and (problem := _misfit(env, made)):
        raise ValueError(f"{name} cannot play here: {problem}")
    return made


def player_bytes(env: BatchedEnv, name: str, store: Store) -> bytes:
    """One player by its name here, a guest or bot, or by a digest in the store, as bytes. It can play `env`.

    Raises ValueError, naming what is wrong, for a name that nobody has, or that fits several, and for a player that
    cannot play.
    """
    directory, colon, player = _directory(name)
    if re.fullmatch("[0-9a-f]{64}", name):
        if not store.has(name):
            raise ValueError(f"the run's store has no {name}")
        data = store.get(name)
    elif directory is not None:
        members = Members(directory)
        chosen = members.matching(player, len(members.steps)) if colon else members.learners[:1]
        if len(chosen) != 1:
            raise ValueError(f"{name} names {len(chosen)} players: give one of {members.describe()}")
        data = load_bytes(directory, chosen[0])
    elif is_anchor(name) or "." in name:
        make_bot(env, name)
        return encode_bot(name)
    else:
        raise ValueError(f"{name} is nobody: give {PLAYER_FORMS}")
    decode_player(env, data, name)
    return data


def _misfit(env: BatchedEnv, agent: Agent) -> str | None:
    """Why the agent, which may come from another run, does not fit the environment; None if it does."""
    agents = agent.metadata["agents"]
    if list(agents) != list(env.agents):
        return f"it plays {', '.join(agents)}, the environment has {', '.join(env.agents)}"
    for group in env.groups:
        for seat in group.agents:
            seen, acts = agent.spaces_of(seat)
            if seen.shape != group.observation_space.shape or not _same_actions(acts, group.action_space):
                return f"{env.agents[seat]} has other observations or actions"
    return None


def _same_actions(first: spaces.Space[Any], second: spaces.Space[Any]) -> bool:
    if isinstance(first, spaces.Discrete) and isinstance(second, spaces.Discrete):
        return bool(first.n == second.n)
    return first == second

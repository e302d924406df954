"""The players of an evaluation, made from names:

main, main@0003             a learner of the run as it is now, and one of its snapshots
*, *@*, main@*              patterns of such names; at most `snapshots` per lineage, evenly spaced over time
DIR, DIR:main@0003          a guest: the first learner of another run, or any player or pattern of that run
agent.marl                  a guest: a packed player (see `runs/packed.py`)
random, mcts_100            anchors (see `players/anchors.py`)
package.module.Class        a bot: called with the environment, the class makes a `Policy` or a `Follower`
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
from marl_app.players.agent import Agent, player_from_bytes
from marl_app.players.anchors import make_anchor
from marl_app.players.bots import encode_bot, import_bot, is_anchor, make_bot
from marl_app.players.policy import Follower, Policy
from marl_app.runs.load import load_bytes
from marl_app.runs.members import Members
from marl_app.runs.packed import is_packed
from marl_app.store.store import Store

RUN, GUEST, ANCHOR, BOT = "run", "guest", "anchor", "bot"
PLAYER_FORMS = (
    "a run (DIR, DIR:main@0003), a file (agent.marl), a digest, random, mcts_<simulations> or a class "
    "(package.module.Class)"
)


@dataclass(frozen=True, eq=False)
class Contestant:
    """A player of an evaluation with its name, its kind (run, guest, anchor or bot) and its source.

    source: run directory and id, anchor name or class path; two contestants of one name must have one source.
    lineage, agent_steps: of a player of a run, the latter at the time it was saved; None for anchors and bots.
    side: the only side that it can play; None for any side.
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
    """Return the named players of the run by lineage and age, then all others in the given order, then the anchors.

    `snapshots`: the maximum number of snapshots of a lineage that one pattern selects.
    Raises ValueError for an unknown name, for two players of one name, and for a player that cannot play `env`.
    """
    run_ids: list[str] = []
    others: list[Contestant] = []
    # The order of the tests matters: a directory may contain dots, and an anchor's name none.
    for name in names:
        if is_packed(name):
            others.append(_packed_contestant(env, Path(name).expanduser().resolve(), members.trust))
            continue
        directory, colon, player = _directory(name)
        if directory is not None:
            guests = Members(directory, members.trust)
            ids = guests.matching(player, snapshots) if colon else guests.learners[:1]
            others += [_load_contestant(env, guests, guest, f"{directory.name}:{guest}", GUEST) for guest in ids]
        elif is_anchor(name):
            others.append(Contestant(name, ANCHOR, name, make_anchor(env, name)))
        elif "." in name:
            import_bot(name)
            others.append(Contestant(name.rpartition(".")[2], BOT, name, make_bot(env, name)))
        else:
            run_ids += members.matching(name, snapshots)
    # `members.steps` is in the order of lineage and age; a player that several patterns match takes part once.
    run = [_load_contestant(env, members, name, name, RUN) for name in members.steps if name in run_ids]
    anchored = [Contestant(name, ANCHOR, name, make_anchor(env, name)) for name in anchors]
    found: dict[str, Contestant] = {}
    # By name, in order: the same player may be named twice, but two players may not have one name.
    for contestant in (*run, *others, *anchored):
        namesake = found.setdefault(contestant.name, contestant)
        if namesake.source != contestant.source:
            raise ValueError(
                f"{namesake.source} and {contestant.source} would both be named {contestant.name}: rename one of them"
            )
    return list(found.values())


def _directory(name: str) -> tuple[Path | None, str, str]:
    """Split a guest's name into run directory, ":" and player; the directory is None for any other kind of name.

    Without a colon in the name the last two are "". Raises ValueError if the name has the form of a path but no such
    directory exists.
    """
    path, colon, player = name.rpartition(":")
    if not colon:
        path, player = name, ""
    # A name is a path if it has a colon or a slash, or if such a directory exists here.
    directory = Path(path).expanduser()
    if not (colon or "/" in path or directory.is_dir()):
        return None, "", ""
    if not directory.is_dir():
        raise ValueError(f"directory {path} does not exist")
    return directory.resolve(), colon, player


def _load_contestant(env: BatchedEnv, members: Members, player: str, name: str, kind: str) -> Contestant:
    """Return the player with id `player` of a run directory, as a contestant that is called `name`."""
    data, source = load_bytes(members.run, player, trust=members.trust), f"{members.run}:{player}"
    made = decode_player(env, data, f"{members.run}: {player}")
    if not isinstance(made, Agent):  # a bot that is a guest in the pool of the run
        return Contestant(name, BOT, source, made)
    return Contestant(
        name, kind, source, made, Player.parse(player).lineage, members.steps[player], made.metadata.get("side")
    )


def _packed_contestant(env: BatchedEnv, file: Path, trust: bool) -> Contestant:
    """Return the player of a packed file, as a contestant with the name of the file."""
    made = decode_player(env, load_bytes(file, trust=trust), str(file))
    if not isinstance(made, Agent):
        raise ValueError(f"{file} has no network: name the bot itself")
    facts = made.metadata
    lineage = Player.parse(str(facts.get("player"))).lineage
    return Contestant(file.name, GUEST, str(file), made, lineage, facts.get("agent_steps"), facts.get("side"))


def decode_player(env: BatchedEnv, data: bytes, name: str) -> Policy | Follower:
    """Return the player that `data` encodes. Raises ValueError with its `name` if it does not fit the environment."""
    # 1. The bytes must encode a player of this environment.
    try:
        made = player_from_bytes(data, env)
    except ValueError as error:
        raise ValueError(f"{name} cannot play here: {error}") from error
    # 2. Its networks must fit the agents, observations and actions.
    if isinstance(made, Agent) and (problem := _misfit(env, made)):
        raise ValueError(f"{name} cannot play here: {problem}")
    return made


def player_bytes(env: BatchedEnv, name: str, store: Store, trust: bool = False) -> bytes:
    """Return the bytes of one player: a guest, an anchor, a bot, or a digest in the store. It can play `env`.

    trust: let the guest's run name classes to import; see `runs/trust.py`.
    Raises ValueError for an unknown name, for a pattern that matches several players, and for a player that cannot
    play `env`.
    """
    directory, colon, player = (None, "", "") if is_packed(name) else _directory(name)
    if is_packed(name):
        data = load_bytes(Path(name).expanduser(), trust=trust)
    elif re.fullmatch("[0-9a-f]{64}", name):  # a SHA-256 digest
        if not store.has(name):
            raise ValueError(f"the run's store has no bytes with the digest {name}")
        data = store.get(name)
    elif directory is not None:
        members = Members(directory, trust)
        ids = members.matching(player, len(members.steps)) if colon else members.learners[:1]
        if len(ids) != 1:
            raise ValueError(f"{name} matches {len(ids)} players: name a single one of {members.describe()}")
        data = load_bytes(directory, ids[0], trust=trust)
    elif is_anchor(name) or "." in name:
        import_bot(name)
        make_bot(env, name)  # raises if the bot cannot play `env`; its bytes are only its name
        return encode_bot(name)
    else:
        raise ValueError(f"unknown player {name!r}: expected {PLAYER_FORMS}")
    decode_player(env, data, name)
    return data


def _misfit(env: BatchedEnv, agent: Agent) -> str | None:
    """Return why the agent, which may come from another run, does not fit the environment; None if it fits."""
    agents = agent.metadata["agents"]
    # Names and their order: a saved player assigns its networks to agents by index.
    if list(agents) != list(env.agents):
        return f"it plays {', '.join(agents)}, the environment has {', '.join(env.agents)}"
    for group in env.groups:
        for seat in group.agents:
            # Bounds of observations may differ: networks depend on the shape only.
            observations, actions = agent.spaces_of(seat)
            if observations.shape != group.observation_space.shape or not _same_actions(actions, group.action_space):
                return f"{env.agents[seat]} has other observations or actions"
    return None


def _same_actions(first: spaces.Space[Any], second: spaces.Space[Any]) -> bool:
    """Return whether the spaces have the same actions; `Discrete` spaces may differ in their dtype."""
    if isinstance(first, spaces.Discrete) and isinstance(second, spaces.Discrete):
        return bool(first.n == second.n)
    return first == second

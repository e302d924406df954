"""Pack: one player of a run as one file to give away, with what it is and how strong it is (`runs/packed.py`).

python -m marl_app task=pack run=runs/league/<time>
python -m marl_app task=pack run=DIR task.player=main@0003 task.file=agent.marl

`marl_app.load_agent("agent.marl")`, `league.guests.NAME=agent.marl`, `init_from=agent.marl` and
`'task.players=[main,agent.marl]'` take the file. The player is evaluated for its card; nothing is trained, and Ray is
not started.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from marl_app import __version__
from marl_app.assembly.instantiate import config_errors, env_factory
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.anchors import Score, evaluate_anchor
from marl_app.evaluation.team import TEAM, TeamReturn, evaluate_team
from marl_app.players.agent import Agent
from marl_app.players.bots import bot_name
from marl_app.players.encoding import registered_name
from marl_app.players.saved_spaces import space_from_json
from marl_app.runs.choices import given_overrides
from marl_app.runs.load import load_bytes
from marl_app.runs.members import Members
from marl_app.runs.packed import PackedPlayer, write_packed
from marl_app.store.codec import metadata_of
from marl_app.store.store import digest_of
from marl_app.tasks.evaluate import applicable_anchors
from marl_app.tasks.opened_run import environment, open_run
from marl_app.tasks.pack_card import card


@dataclass
class Pack(Section):
    """The task. Its objective is the score against the last anchor, of a team its return, without matches 0."""

    path: ClassVar[str] = "task"
    player: str | None = key("Player of the run; null = the newest main.")
    file: str = key("The file to write, which ends with .marl.", pattern=r".*\.marl")
    anchors: list[str] = key("Fixed opponents that the player is evaluated against.", pattern="random|mcts_[1-9][0-9]*")
    games: int = key("Matches against each anchor.", at_least=2)

    def __call__(self, config: Config) -> float:
        """Evaluate the player, write the file and say how to use it. Returns the objective."""
        members = open_run(config)
        run = members.run
        # 1. Read the player. A bot is a name only, and nothing to give away.
        with config_errors("task.player"):
            data = load_bytes(run, self.player, trust=config.trust)
            if (bot := bot_name(metadata_of(data))) is not None:
                raise ValueError(f"{self.player} is the bot {bot}, which has no weights")
        # 2. Collect the facts for the card.
        env = environment(members)
        facts = {**describe(data), **_origin(run, members), "environment": env}
        if facts["player"] == members.learners[0]:  # what the run measured is about its newest weights
            facts["evaluation_in_run"] = {**members.state.anchors, "exploitability": members.state.exploitability}
        facts["evaluation"] = list(self._evaluate(env_factory(env), data, config.seed))
        # 3. Write the file.
        file = Path(self.file).expanduser()
        with config_errors("task.file"):
            digest = write_packed(file, PackedPlayer(data, facts, card(facts, file.name)))
        print(f"{facts['player']} is packed in {file} ({file.stat().st_size:,} bytes)\nSHA-256: {digest}")
        print(f"load it:  marl_app.load_agent({str(file)!r})", flush=True)
        return float(facts["evaluation"][-1]["score"]) if facts["evaluation"] else 0.0

    def _evaluate(self, make_env: MakeEnv, data: bytes, seed: int) -> Iterator[dict[str, Any]]:
        """Yield what was measured against each anchor; of a team, its return."""
        agent = Agent(data)
        with config_errors("run"), closing(make_env(1)) as env:
            sides = len(env.sides)
            found = [TEAM] if sides == 1 and self.anchors else applicable_anchors(env, self.anchors)
        if agent.metadata.get("side") is not None:
            print(f"not evaluated: it plays side {agent.metadata['side']} only; task=evaluate does so", flush=True)
            return
        # Rounded up to a multiple of the sides, each of which is played equally often.
        games = self.games + -self.games % sides
        for anchor in found:
            # The same random numbers against every opponent.
            rng = np.random.default_rng(seed)
            measured: Score | TeamReturn
            if anchor == TEAM:
                measured = evaluate_team(make_env, agent, games, rng, greedy=False)
            else:
                measured = evaluate_anchor(make_env, [agent], anchor, games, rng, greedy=False)
            # Both kinds of result begin with the mean and the ends of its interval.
            score, low, high = measured[:3]
            print(f"{anchor}: {score:.3f} [{low:.3f}, {high:.3f}] in {measured.games} matches", flush=True)
            yield {"opponent": anchor, "score": score, "low": low, "high": high, "games": measured.games}


def describe(data: bytes) -> dict[str, Any]:
    """Return what the bytes of a player say about it: names, spaces, network, steps, version, digest."""
    metadata = metadata_of(data)
    raw = metadata.get("raw_spaces")
    networks = [
        {
            "name": network["name"],
            "agents": [metadata["agents"][index] for index in network["agents"]],
            "observation_space": str(space_from_json(network["observation_space"])),
            "action_space": str(space_from_json(network["action_space"])),
            # The first agent of the network stands for all.
            **({} if raw is None else _raw_spaces(raw[network["agents"][0]])),
        }
        for network in metadata["networks"]
    ]
    kept = {
        name: metadata.get(name) for name in ("player", "side", "parent", "agent_steps", "env_steps", "app_version")
    }
    return {
        **kept,
        "digest": digest_of(data),
        "agents": metadata["agents"],
        "networks": networks,
        "module_class": registered_name(metadata["module_class"]),
        "model": metadata["model_config"],
    }


def _raw_spaces(pair: Any) -> dict[str, str]:
    """Return the spaces of the environment that an adapter translated, as text."""
    observations, actions = (str(space_from_json(space)) for space in pair)
    return {"environment_observation_space": observations, "environment_action_space": actions}


def _origin(run: Path, members: Members) -> dict[str, Any]:
    """Return where the player comes from: the run, its command and length, and the program that packs it."""
    counters = members.state.counters
    return {
        "run": run.resolve().name,
        "command": _command(run),
        "run_env_steps": counters.env_steps,
        "run_minutes": round(counters.seconds / 60, 1),
        "packed_by": {"version": __version__, "commit": commit()},
    }


def _command(run: Path) -> str:
    """Return the command line of a run, "" if its record is damaged."""
    try:
        return shlex.join(["python", "-m", "marl_app", *given_overrides(run)])
    except ValueError:
        return ""


def commit() -> str | None:
    """Return the commit of the checkout that this program runs from; with a plus if tracked files have changes."""
    git: Mapping[str, Any] = {"cwd": Path(__file__).parent, "capture_output": True, "text": True, "check": True}
    try:
        # An installed package may lie in the folder of another repository, which does not track it.
        subprocess.run(["git", "ls-files", "--error-unmatch", Path(__file__).name], **git)
        name = subprocess.run(["git", "rev-parse", "HEAD"], **git).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **git).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}+" if changed else name

"""The card of a packed player: what it is, how strong, where it comes from and how to load it, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from marl_app.evaluation.team import TEAM
from marl_app.report.words import game_name


def card(facts: Mapping[str, Any], file_name: str) -> str:
    """Return the card of a player with these facts (see `tasks/pack.py`) in a file of this name."""
    environment = dict(facts["environment"])
    target = environment.pop("_target_")
    # Paragraphs, joined by blank lines.
    return "\n\n".join(
        [
            f"# {facts['player']} of {game_name(facts['environment'])}",
            "A trained player of marl_app: weights as safetensors, and no code. "
            f"{_steps(facts)}, in a run of {facts['run_minutes']} minutes.",
            "## What it plays",
            _table(
                {
                    "environment": _code(target),
                    "its settings": _code(json.dumps(environment)),
                    "agents": ", ".join(facts["agents"]),
                    **({} if facts["side"] is None else {"side": f"{facts['side']} only"}),
                }
            ),
            *(_network(network) for network in facts["networks"]),
            f"Network class: {_code(facts['module_class'])}, {_code(json.dumps(facts['model']))}.",
            "## How strong it is",
            _evaluation(facts),
            "## How to use it",
            _usage(facts, file_name),
            "## Where it comes from",
            _table(
                {
                    "run": _code(facts["run"]),
                    "command": _code(facts["command"] or "not recorded"),
                    "trained with": f"marl_app {facts['app_version']}",
                    "packed with": f"marl_app {facts['packed_by']['version']}, "
                    f"commit {facts['packed_by']['commit'] or 'unknown'}",
                    "SHA-256 of the player": _code(facts["digest"]),
                    **({} if facts["parent"] is None else {"SHA-256 of its parent": _code(facts["parent"])}),
                }
            ),
        ]
    )


def _steps(facts: Mapping[str, Any]) -> str:
    known = {name: facts[name] for name in ("agent_steps", "env_steps") if facts[name] is not None}
    words = [f"{number:,} {name.replace('_', ' ')}" for name, number in known.items()]
    return f"Trained on {' and '.join(words)}" if words else "Its training steps are not recorded"


def _network(network: Mapping[str, Any]) -> str:
    """Return the spaces of the agents that share a network; those of the environment, if an adapter translated them."""
    observation = network.get("environment_observation_space", network["observation_space"])
    action = network.get("environment_action_space", network["action_space"])
    rows = {"network": f"{network['name']}, of {', '.join(network['agents'])}", "observation": _code(observation)}
    return _table({**rows, "action": _code(action)})


def _evaluation(facts: Mapping[str, Any]) -> str:
    """Return what was measured for the card, and below what the run itself had measured last, if it is known."""
    in_run = dict(facts.get("evaluation_in_run", {}))
    # Exploitability is not the score against an opponent: it has a sentence of its own.
    exploitability = in_run.pop("exploitability", {}).get("agent")
    parts = []
    if facts["evaluation"]:
        note = (
            "Measured with sampled actions when it was packed. A score is 1 for a win, 0.5 for a draw; sides alternate."
        )
        parts += [_scores({row["opponent"]: row for row in facts["evaluation"]}), note]
    if in_run:
        parts += ["The last evaluation in its run, which may be of weights a little older:", _scores(in_run)]
    if exploitability is not None:
        parts.append(f"Exact exploitability in its run: {exploitability:.4f} (0 is an equilibrium).")
    return "\n\n".join(parts) or "It was not evaluated."


def _scores(measured: Mapping[str, Mapping[str, float]]) -> str:
    """Return the table of measurements by opponent; those of a team have its return per agent instead of a score."""
    lines = ["| opponent | score | 95 % interval | matches |", "| --- | --- | --- | --- |"]
    for opponent, row in measured.items():
        score, name = (
            row.get("score", row.get("agent_return", 0.0)),
            "none: return per agent" if opponent == TEAM else opponent,
        )
        lines.append(f"| {name} | {score:.3f} | {row['low']:.3f} to {row['high']:.3f} | {row['games']:,} |")
    return "\n".join(lines)


def _usage(facts: Mapping[str, Any], file_name: str) -> str:
    # Network classes of marl_app have a short registered name. A path with a dot is imported, which needs trust.
    trust = ", trust=True" if "." in facts["module_class"] else ""
    own = (
        f"\n\nIts network is the class {_code(facts['module_class'])}, which is not part of marl_app: install it, read "
        "it, and import it before, or give `trust=True`."
        if trust
        else ""
    )
    return (
        f'```python\nimport marl_app\n\nagent = marl_app.load_agent("{file_name}"{trust})\n'
        "action = agent.act(observation, action_mask)\n```\n\n"
        f"As an opponent: `+league.guests.NAME={file_name}`. In a cross-play: `task.players=[main,{file_name}]`.{own}"
    )


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def _code(text: Any) -> str:
    """Return text as code in a table's cell: one line, without signs that end the code or the cell."""
    return "`" + " ".join(str(text).split()).replace("`", "'").replace("|", "\\|") + "`"

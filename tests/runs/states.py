"""States of runs as JSON, for tests that write the files of a run."""

import hashlib
import json

from marl_app.runs.state import Counters, RunState, TurnState


def state_json(league=None, **parts):
    """The state of a run that has done nothing, with these parts of `RunState.to_json()` in place of its own."""
    empty = RunState(0, Counters(), {}, TurnState({}, "", 0), {}, {}, [], {"learners": [], "snapshots": []}, {})
    counters = {**empty.to_json()["counters"], **parts.pop("counters", {})}
    return {**empty.to_json(), "league": {**empty.league, **(league or {})}, "counters": counters, **parts}


def trainee_json(**totals):
    """The totals of a learner that has done nothing, with these in place of its own."""
    moments = {"count": 0, "mean": 0.0, "squares": 0.0}
    return {"env_steps": 0, "agent_steps": 0, "updates": 0, "initial": "", "reward_moments": moments} | totals


def snapshot_json(player, digest, agent_steps=0):
    """A snapshot as the state of a league has it."""
    return {"player": player, "digest": digest, "agent_steps": agent_steps, "parent": None, "role": "main_agent"}


def write_state(directory, state):
    """Write a checkpoint that has nothing but its state and a manifest."""
    directory.mkdir(parents=True)
    data = json.dumps(state).encode()
    (directory / "state.json").write_bytes(data)
    (directory / "manifest.json").write_text(json.dumps({"state.json": hashlib.sha256(data).hexdigest()}))

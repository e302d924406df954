"""Writes the files of a run, with round numbers, as `planning.measured` reads them."""

import json
from pathlib import Path

from tests.runs.states import snapshot_json, state_json, write_state

RUNTIME = {"num_env_runners": 2, "num_envs_per_env_runner": 50, "opponent_slots": 8}


def write_run(directory: Path, snapshots: int = 3) -> Path:
    """Write a run of 10 iterations of 2 s.

    2 x 50 parallel matches make 4,000 env steps per iteration: 20 steps/s per match, so a match of 60 steps takes 3 s.
    Two sides take turns, and half of the matches are self-play: 0.75 agent steps per env step, 3,000 rows, on which the
    learner trains for half of the time. A snapshot of 10,000 bytes every 6,000 agent steps.
    """
    (directory / "snapshots").mkdir(parents=True)
    (directory / ".hydra").mkdir()
    runtime = "".join(f"  {name}: {value}\n" for name, value in RUNTIME.items())
    (directory / ".hydra" / "config.yaml").write_text(f"output_dir: ${{hydra:runtime.output_dir}}\nruntime:\n{runtime}")
    (directory / "summary.json").write_text(json.dumps({"status": "finished", "trained_agent_steps_per_s": 1500.0}))
    lines = [
        {
            "iteration": i,
            "seconds": 100 + 2.0 * i,  # the first iteration includes the start and is not measured
            "steps/env_steps": 4000 * i,
            "steps/trained_agent_steps": 3000 * i,
            "throughput/learn_share": 0.5,
            "matches/per_s": 100 / 3,
            "matches/length": 60.0,
            "league/self_play_share": 0.5,
        }
        for i in range(1, 11)
    ]
    (directory / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pool = [f"main@{generation:04d}" for generation in range(snapshots)]
    for index in range(snapshots):
        (directory / "snapshots" / f"{index:064x}").write_bytes(bytes(10_000))
    players = ["main", *pool]
    strength = [snapshots - 0.5, *range(snapshots)]  # 100 Elo per generation
    wins = [[0 if a == b else 1e6 / (1 + 10 ** ((b - a) / 4)) for b in strength] for a in strength]
    zeros = [[0.0] * len(players) for _ in players]
    league = {
        "learners": [{"lineage": "main", "role": "main_agent"}],
        "snapshots": [snapshot_json(player, f"{index:064x}", 6000 * index) for index, player in enumerate(pool)],
        "payoff": {"players": players, "wins": wins, "draws": zeros, "excess": zeros},
    }
    counters = {"trained_agent_steps": 30_000, "matches": 600}
    write_state(directory / "checkpoints" / "checkpoint-00000010", state_json(league, counters=counters))
    return directory

"""A run directory of rock, paper, scissors without training, in which every player always plays one action."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from marl_app.config.compose import compose_job
from marl_app.envs.batched import BatchedEnv
from marl_app.envs.matrix_game import MatrixGame
from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.metrics.records import Records
from marl_app.players.encoding import encode_player
from marl_app.players.modules.mlp import MLP
from marl_app.players.networks import networks_for_env
from marl_app.runs.state import Counters, LearnerTotals, RunState, TurnState
from marl_app.store.disk import DiskStore

ROCK, PAPER, SCISSORS = range(3)
RPS = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
MLP_8 = MLP(hidden=[8], precision="float32")


def always(action: int, actions: int = 3) -> bytes:
    """Return the bytes of a player that always plays `action` of rock, paper, scissors (or of a game of more)."""
    env = MatrixGame(1, np.zeros((actions, actions)).tolist())
    networks = networks_for_env(env, "spaces", None, False)
    module = networks[0].spec(MLP_8).build()
    with torch.no_grad():
        module.policy_head.linear.bias[:] = torch.eye(actions)[action] * 1000
    weights = {f"{networks[0].name}/{name}": value.numpy() for name, value in module.state_dict().items()}
    return encode_player(weights, networks, env.agents, MLP_8, {"player": "main"})


def write_run(folder: Path, pool=(ROCK, PAPER, SCISSORS), learner: int = ROCK, actions: int = 3) -> Path:
    """Write snapshots main@0000, ... that play the actions of `pool`, and main, which plays `learner`.

    A snapshot is frozen after every second iteration of 100 agent steps. In each iteration main plays 10 matches
    against itself and, by the rule `uniform`, 4 matches against every snapshot of the pool, of which it wins 3.
    """
    league = League([Learner("main")], Latest(), EverySteps(200))
    records = Records(folder)
    lines = []
    for iteration in range(1, 2 * len(pool) + 3):
        snapshot_ids = [snapshot.player.id for snapshot in league.snapshots]
        rows = len(snapshot_ids) + 1
        wins, losses = np.full(rows, 3), np.full(rows, 1)
        wins[0], losses[0] = 5, 5
        zeros = np.zeros(rows, np.int64)
        opponents, rules = ("main", *snapshot_ids), ("self_play", *["uniform"] * len(snapshot_ids))
        league.record(Outcomes("main", opponents, rules, zeros, wins, zeros, losses, wins + losses, wins))
        columns = {
            "learner": ["main"] * rows, "opponent": opponents, "rule": rules, "side": zeros, "wins": wins,
            "draws": zeros, "losses": losses, "scores": wins.astype(np.float32),
            "steps": wins + losses, "win_rate": np.full(rows, 0.5), "probability": np.full(rows, 0.25),
        }  # fmt: skip
        records.add_matches(iteration, columns)
        lines.append({"iteration": iteration, "steps/trained_agent_steps": 100 * iteration})
        if iteration % 2 == 0 and len(snapshot_ids) < len(pool):
            digest = DiskStore(folder / "snapshots").put(always(pool[len(snapshot_ids)], actions))
            league.add_snapshot("main", digest, 100 * iteration, "test")
    records.flush()
    (folder / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / ".hydra").mkdir()
    payoff = RPS if actions == 3 else np.zeros((actions, actions)).tolist()
    config = compose_job(["+experiment=league", "env=rock_paper_scissors", f"env.payoff={json.dumps(payoff)}"])
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    write_checkpoint(folder, league, 100 * len(lines), len(lines), always(learner, actions))
    return folder


def write_checkpoint(folder: Path, league: League, steps: int, iteration: int, player: bytes) -> None:
    """Write a checkpoint of a run after agent steps of each learner, and iterations; each learner is `player`."""
    state = RunState(
        iteration=iteration,
        counters=Counters(trained_agent_steps=steps),
        totals={learner: LearnerTotals(agent_steps=steps) for learner in league.learners},
        turns=TurnState({}, "main", 0),
        anchors={},
        exploitability={},
        readings=[],
        league=league.state_dict(),
        rng={},
    )
    files = {
        **{f"player-{learner}.safetensors": player for learner in league.learners},
        "learner.safetensors": b"",
        "state.json": json.dumps(state.to_json()).encode(),
    }
    manifest = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    checkpoint = folder / "checkpoints" / "checkpoint-00000001"
    checkpoint.mkdir(parents=True)
    for name, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
        (checkpoint / name).write_bytes(data)


def preferring(env: BatchedEnv, preferences: Sequence[float], value: float = 0.25) -> bytes:
    """Return the bytes of a player with these logits of all agents and observations, whose critic expects `value`."""
    networks = networks_for_env(env, "spaces", None, False)
    weights = {}
    for network in networks:
        module = network.spec(MLP_8).build()
        with torch.no_grad():
            for head, bias in ((module.policy_head.linear, preferences), (module.value_head.linear, [value])):
                head.weight[:] = 0
                head.bias[:] = torch.tensor(bias)
        weights |= {f"{network.name}/{name}": tensor.numpy() for name, tensor in module.state_dict().items()}
    return encode_player(weights, networks, env.agents, MLP_8, {"player": "main"})


def write_run_in(
    folder: Path, env: BatchedEnv, overrides: Sequence[str], pool: Sequence[bytes], learner: bytes
) -> Path:
    """Write a run in any environment, chosen by `overrides`: snapshots main@0000, ... of `pool`, and main."""
    league = League([Learner("main")], Latest(), EverySteps(200))
    for number, snapshot in enumerate(pool):
        league.add_snapshot("main", DiskStore(folder / "snapshots").put(snapshot), 200 * number, "test")
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(compose_job(["+experiment=league", *overrides]), folder / ".hydra" / "config.yaml")
    write_checkpoint(folder, league, 200 * len(pool) + 200, 2 * len(pool) + 2, learner)
    return folder

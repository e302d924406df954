"""Sessions of tic-tac-toe against players whose moves are known."""

from pathlib import Path

from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.playing.session import Session
from marl_app.runs.members import Members
from tests.evaluation.runs import preferring, write_run_in

LOGITS = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
"""A greedy player takes the first empty cell of a1 a2 a3 b1 b2 b3 c1 c2 c3, so that its moves are known."""


def tic_tac_toe_run(folder: Path) -> Path:
    """Write a run: main takes the first empty cell, main@0000 the last one, when they play greedily."""
    env = TicTacToe(1)
    return write_run_in(folder, env, ["env=tic_tac_toe"], [preferring(env, LOGITS[::-1])], preferring(env, LOGITS))


def session(folder: Path, **arguments) -> Session:
    """Return a greedy session with the players of the run."""
    chosen = {"player": None, "side": 0, "seed": 0, "greedy": True, "anchors": ["random", "mcts_10"], **arguments}
    return Session(TicTacToe(1), Members(folder), **chosen)

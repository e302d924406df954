"""`task=evaluate` from the command line, on runs of rock, paper, scissors whose players always play the same action."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.run import run as run_task
from tests.evaluation.runs import ROCK, write_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def league(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "league")


def evaluate(run, out, *overrides):
    """The objective, and the content of cross_play.json."""
    elo = run_task(load(["task=evaluate", f"run={run}", *overrides], output_dir=str(out)))
    return elo, json.loads((out / "cross_play.json").read_text())


def test_rock_paper_scissors(league, tmp_path, capsys):
    # main and main@0000 are rock, 1 is paper, 2 scissors: each action has a third in the Nash equilibrium, and the two
    # rocks share theirs. The payoff is cyclic without a ladder. A fixed action scores a half against random. mcts_10
    # cannot play a one-shot game.
    elo, found = evaluate(league, tmp_path, "task.anchors=[random,mcts_10]")
    players = {row["player"]: row for row in found["players"]}
    assert list(players) == ["main@0000", "main@0001", "main@0002", "main", "random"]
    mixture = [row["nash"] for row in found["players"]]
    assert mixture[:4] == pytest.approx([1 / 6, 1 / 3, 1 / 3, 1 / 6]) and mixture[4] is None
    assert players["random"]["elo"] == 0 == found["players"][-1]["elo_high"] and found["zero"] == "random"
    assert elo == players["main"]["elo"] and found["status"] == "finished"
    assert found["cyclic_share"] > 0.9 and found["side_scores"] == pytest.approx([0.5, 0.5], abs=0.05)
    pairs = pd.read_csv(tmp_path / "payoff.csv").set_index(["row", "column"])
    assert pairs.loc[("main@0001", "main"), "score"] == 1 and pairs.loc[("main", "main@0001"), "score"] == 0
    assert pairs.loc[("main@0000", "main"), "score"] == 0.5 and pairs.loc[("main@0001", "main"), "high"] > 0.999
    assert found["games"] == pairs["games"].sum() / 2 == 10 * 64
    assert list(pd.read_csv(tmp_path / "ratings.csv")["player"]) == list(players)
    assert all(row["value_preserving_moves"] is None for row in players.values())  # no solved positions
    out = capsys.readouterr().out
    assert "without mcts_10: the environment names no OpenSpiel game" in out and "…" not in out
    assert "cyclic share of the payoff" in out and "main@0002" in out
    assert {"payoff.png", "ratings.png", "cycles.png"} <= {file.name for file in tmp_path.iterdir()}


def test_certified_ranks_and_cycles(league, tmp_path, capsys):
    # Both rocks lose to paper, paper loses to scissors, scissors lose to both rocks: two cycles of three. Against the
    # lottery all score a half.
    _, found = evaluate(league, tmp_path, "task.anchors=[]", "task.games=400")
    certain = found["certified"]
    assert certain["cycles_of_three"]["certain"] == certain["cycles_of_three"]["estimated"] == 2
    for rock, cycle in zip(("main@0000", "main"), sorted(certain["cycles_of_three"]["surest"]), strict=True):
        assert set(cycle) == {rock, "main@0001", "main@0002"} or set(cycle) == {"main", "main@0001", "main@0002"}
    assert certain["certainly_beats"]["main@0001"] == ["main@0000", "main"]
    assert certain["lottery"] == pytest.approx(
        {"main@0000": 1 / 6, "main@0001": 1 / 3, "main@0002": 1 / 3, "main": 1 / 6}
    )
    assert certain["confidence"] == 0.95 and set(certain["opponents"]) == {"uniform", "lottery"}
    rows = pd.read_csv(tmp_path / "ratings.csv").set_index("player")
    # Against the three others: paper beats two (2/3), scissors one (1/3), a rock wins, draws and loses (1/2).
    assert rows["uniform_score"].tolist() == pytest.approx([0.5, 2 / 3, 1 / 3, 0.5])
    assert rows["uniform_rank_best"].tolist() == [2, 1, 4, 2] and rows["uniform_rank_worst"].tolist() == [3, 1, 4, 3]
    assert rows["lottery_score"].tolist() == pytest.approx([0.5] * 4)
    assert rows["lottery_rank_best"].tolist() == [1] * 4 and rows["lottery_rank_worst"].tolist() == [4] * 4
    assert (rows["uniform_score_low"] < rows["uniform_score"]).all() and rows["certainly_beats"].tolist() == [
        1,
        2,
        1,
        1,
    ]
    pairs = pd.read_csv(tmp_path / "payoff.csv").set_index(["row", "column"])
    assert pairs.loc[("main@0001", "main"), "certified_low"] > 0.9 == pairs.loc[("main@0001", "main"), "score"] - 0.1
    assert pairs.loc[("main@0000", "main"), "certified_low"] < 0.5 < pairs.loc[("main@0000", "main"), "certified_high"]
    out = " ".join(capsys.readouterr().out.split())
    assert "2 to 3" in out and "lottery rank: against the Nash mixture, main@0001 0.333, main@0002 0.333" in out
    assert "cycles of three: 2 certain of 2 in the mean scores: main@0000 > main@0002 > main@0001 > main@0000" in out


def test_tensorboard(league, tmp_path):
    evaluate(league, tmp_path, "task.anchors=[random]", "task.games=1")
    main, random, of_all = (EventAccumulator(str(tmp_path / "tb" / name)).Reload() for name in ("main", "random", ""))
    # Snapshots after 200, 400 and 600 agent steps, and main after 800; random has a constant curve.
    assert [event.step for event in main.Scalars("cross_play/elo")] == [200, 400, 600, 800]
    assert [(event.step, event.value) for event in random.Scalars("cross_play/elo")] == [(200, 0.0), (800, 0.0)]
    assert of_all.Scalars("cross_play/games")[0].value == 160  # at least a batch of 16 for each of 10 pairs
    assert set(of_all.Tags()["images"]) == {"cross_play/payoff", "cross_play/ratings", "cross_play/cycles"}


def test_the_same_seed_gives_the_same_files(league, tmp_path):
    found = [
        evaluate(league, tmp_path / name, "task.anchors=[random]", "task.games=32", f"seed={seed}")[1]
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    ]
    assert found[0] == found[1] != found[2]


def test_without_random_the_player_with_elo_zero_is_reported(league, tmp_path, capsys):
    _, found = evaluate(league, tmp_path, "task.anchors=[]", "task.players=[main,main@0001]")
    assert found["zero"] == "main@0001" and "Elo is measured from main@0001" in capsys.readouterr().out


def test_guests(league, tmp_path):
    guest = write_run(tmp_path / "guest", pool=(), learner=ROCK)
    _, found = evaluate(league, tmp_path / "out", f"task.players=[main@0001,{guest},'{guest}:*@*']", "task.anchors=[]")
    assert [row["player"] for row in found["players"]] == ["main@0001", "guest:main"]
    assert found["pairs"][0]["score"] == 1.0 and found["players"][1]["source"] == f"{guest}:main"


class Breaks:
    """A bot that plays rock twice, then raises."""

    memory_size = 0

    def __init__(self, env):
        self.calls = 0

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        self.calls += 1
        if self.calls > 2:
            raise RuntimeError("out of rocks")
        return np.full(len(agents), ROCK)


def test_an_error_of_a_bot_keeps_the_matches_played(league, tmp_path):
    players = "task.players=[main@0001,main@0002,tests.tasks.test_evaluate.Breaks]"
    with pytest.raises(RuntimeError, match="out of rocks"):
        evaluate(league, tmp_path, players, "task.anchors=[]")
    found = json.loads((tmp_path / "cross_play.json").read_text())
    # The first two of three pairs have played a batch: scissors beat paper, and paper beats the bot's rock.
    assert found["status"] == "failed" and [pair["games"] for pair in found["pairs"]] == [16, 16, 16, 0, 16, 0]
    assert found["pairs"][1]["score"] == 1 and found["pairs"][0]["score"] == 0


def test_why(league, tmp_path, capsys):
    run_task(load(["task=evaluate", f"run={league}", "task.why=[main@0000,main@0002]"], output_dir=str(tmp_path)))
    out = capsys.readouterr().out
    assert "main@0000 and main@0002 never met in training: both are frozen" in out and "16 matches" in out
    assert [file.name for file in tmp_path.iterdir()] == [".hydra"]  # the record of the command, and no results


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run=null"], "run=null: give the directory of a run"),
        (["run=/nowhere"], "run=/nowhere: there is no such directory"),
        (["run=conf"], "run: conf holds no whole checkpoint"),
        (
            ["task.players=[main@0009]"],
            "task.players: .* has no player 'main@0009'; its players are main, main@0000",
        ),
        (["task.players=[main]", "task.anchors=[]"], "selects only main: give at least two of main, main@0000"),
        (["task.players=main"], r"task.players=main is not a list: give task.players=\[main\]"),
        (["task.why=[main]"], "task.why=.*give two players"),
        (["task.why=[main,mian]"], "task.why: the run has no player 'mian'; its players are main, main@0000 to"),
        (["task.anchors=[mcts]"], "task.anchors=mcts is not allowed"),
        (["task.games=0"], "task.games=0 is not allowed: give a value >= 1"),
    ],
)
def test_errors_name_the_key_and_the_fix(league, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        run_task(load(["task=evaluate", f"run={league}", *overrides], output_dir=str(tmp_path)))


def test_an_interrupt_keeps_the_matches_played(league, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "marl_app", "task=evaluate", f"run={league}", "task.games=10_000_000",
         f"hydra.run.dir={tmp_path}"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while not process.stdout.readline().startswith("cross-play:"):
            assert process.poll() is None
        time.sleep(3)
        process.send_signal(signal.SIGINT)  # as Ctrl-C does
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in err, err[-2000:]
    found = json.loads((tmp_path / "cross_play.json").read_text())
    assert found["status"] == "interrupted" and found["games"] >= 16 and "interrupted after" in out


def test_value_preserving_moves_of_each_player(tmp_path):
    # Agents of another game with nine actions do not fit, so only bots play: random keeps the value in 0.40 of the
    # positions, tree search in 0.98.
    run = write_run(tmp_path / "run", pool=())
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    config.env = load(["+experiment=self_play", "env=tic_tac_toe"]).env
    OmegaConf.save(config, run / ".hydra" / "config.yaml")
    settings = ("task.players=[]", "task.anchors=[random,mcts_100]", "task.games=8", "task.batch=8")
    _, found = evaluate(run, tmp_path / "out", *settings)
    kept = {row["player"]: row["value_preserving_moves"] for row in found["players"]}
    assert kept == {"random": pytest.approx(0.405, abs=0.035), "mcts_100": pytest.approx(0.985, abs=0.01)}
    ratings = pd.read_csv(tmp_path / "out" / "ratings.csv").set_index("player")
    assert ratings["value_preserving_moves"].to_dict() == pytest.approx(kept)


def test_teams_are_evaluated_by_their_returns_and_with_others_as_teammates(tmp_path, capsys):
    # The climbing game, whose payoff both agents get: teams of one action each. main plays 0, its snapshots 1 and 2.
    # Alone they get 11, 7 and 5. With another action each player is once the row and once the column.
    run = write_run(tmp_path / "team", pool=(1, 2), learner=0)
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    config.env = load(["+experiment=self_play", "env=climbing"]).env
    OmegaConf.save(config, run / ".hydra" / "config.yaml")
    other = shutil.copytree(run, tmp_path / "other")
    settings = (f"task.players=[main,main@0000,main@0001,{other}:main]", "task.anchors=[]", "task.games=16")
    value = run_task(load(["task=evaluate", f"run={run}", *settings], output_dir=str(tmp_path / "out")))
    assert value == 11.0
    rows = pd.read_csv(tmp_path / "out" / "teams.csv").set_index(["newcomer", "team"])
    found = {pair: (row.agent_return, row.low, row.high, row.team_return, row.games) for pair, row in rows.iterrows()}
    assert found["main@0000", "main@0000"] == (7, 7, 7, 14, 16) and found["main@0001", "main@0001"] == (5, 5, 5, 10, 16)
    assert found["main", "other:main"] == found["main", "main"] == (11, 11, 11, 22, 16)
    for pair, mean in ((("main", "main@0000"), -30), (("main", "main@0001"), 0), (("main@0000", "main@0001"), 3)):
        assert found[pair][0] == found[pair[::-1]][0] == mean
    low, high = found["main@0000", "main@0001"][1:3]
    assert low == pytest.approx(3 - 1.96 * 3 * (16 / 15) ** 0.5 / 4) and high == pytest.approx(6 - low)  # 6 or 0
    content = json.loads((tmp_path / "out" / "teams.json").read_text())
    assert [player["player"] for player in content["players"]] == ["main@0000", "main@0001", "main", "other:main"]
    out = capsys.readouterr().out
    assert "with others" in out and "Elo" not in out


def test_a_team_is_evaluated_next_to_random(tmp_path):
    # A uniform team gets the mean of the table.
    run = write_run(tmp_path / "team", pool=(), learner=0)
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    config.env = load(["+experiment=self_play", "env=climbing"]).env
    OmegaConf.save(config, run / ".hydra" / "config.yaml")
    settings = ("task.players=[main]", "task.anchors=[random,mcts_10]", "task.games=2000")
    run_task(load(["task=evaluate", f"run={run}", *settings], output_dir=str(tmp_path / "out")))
    rows = pd.read_csv(tmp_path / "out" / "teams.csv").set_index(["newcomer", "team"])
    assert rows.index.get_level_values(0).unique().tolist() == ["main", "random"]
    assert rows.loc[("random", "random"), "low"] < -31 / 9 < rows.loc[("random", "random"), "high"]

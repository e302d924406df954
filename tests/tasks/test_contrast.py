"""`task=contrast` on runs of rock, paper, scissors in which each player always plays the same action."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.league.league import League
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.run import run as run_task
from tests.evaluation.runs import PAPER, ROCK, SCISSORS, always, write_checkpoint, write_run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two schemes with two seeds each: the first cycles, the second always played rock; a run without checkpoint."""
    folder = tmp_path_factory.mktemp("sweep")
    schemes = {"self_play": (ROCK, PAPER, SCISSORS), "fsp": (ROCK, ROCK, ROCK)}
    for number, (scheme, seed) in enumerate((scheme, seed) for scheme in schemes for seed in (1, 2)):
        run = write_run(folder / f"{number}_{scheme}", pool=schemes[scheme])
        lines = (f"+experiment={scheme}", f"seed={seed}", "+sweep=contrast_kuhn_poker")
        (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {line}\n" for line in lines))
        if scheme == "self_play":
            exploitability = {"agent": 0.5 + 0.1 * seed, "meta_strategy": 0.25}
            (run / "summary.json").write_text(json.dumps({"exploitability": exploitability}))
    (folder / "9_psro" / ".hydra").mkdir(parents=True)
    (folder / "9_psro" / "checkpoints").mkdir()
    (folder / "9_psro" / ".hydra" / "overrides.yaml").write_text("- +experiment=psro\n")
    return folder


def contrast(run, out, *overrides):
    """The objective, the table, and the content of contrast.json."""
    objective = run_task(
        load(["task=contrast", f"run={run}", "task.exploit_env_steps=null", *overrides], output_dir=str(out))
    )
    table = pd.read_csv(out / "contrast.csv", index_col="scheme")
    return objective, table, json.loads((out / "contrast.json").read_text())


def test_a_scheme_that_cycles_loses_to_its_past(sweep, tmp_path, capsys):
    # main is rock: it draws with itself, loses to paper, and beats scissors.
    objective, table, found = contrast(sweep, tmp_path, "task.games=64", "task.pool_games=32")
    assert list(table.index) == ["self_play", "fsp"] and list(table["seeds"]) == [2, 2]
    pair, league = table.loc["self_play"], table.loc["fsp"]
    assert [pair[name] for name in ("past", "hardest", "oldest", "middle", "newest")] == [0.5, 0, 0.5, 0, 1]
    assert [league[name] for name in ("past", "hardest", "oldest", "middle", "newest")] == [0.5] * 5
    assert objective == 0.5  # of the better scheme
    assert pair["cyclic share"] > 0.8 > pair["by chance"] and league["cyclic share"] == 0
    assert pair["exploitability"] == pytest.approx(0.65) and pair["exploitability low"] == pytest.approx(0.6)
    assert pair["of the pool"] == 0.25 and np.isnan(league["exploitability"])
    assert pair["random"] == pytest.approx(0.5, abs=0.15) and list(table["snapshots"]) == [3, 3]
    first = found["runs"][0]
    assert first["players"] == ["main@0000", "main@0001", "main@0002", "main", "random"]
    assert first["past"] == [0.5, 0, 1] and first["ages"] == [0.25, 0.5, 0.75]  # 200, 400, 600 of 800 agent steps
    out = capsys.readouterr().out
    assert out.count("without mcts_10:") == 1 and "9_psro holds no whole checkpoint" in out and "self_play" in out
    assert {"contrast_payoff.png", "contrast_past.png"} <= {file.name for file in tmp_path.iterdir()}


def test_fewer_snapshots_and_no_anchors(sweep, tmp_path, capsys):
    _, table, found = contrast(sweep, tmp_path, "task.snapshots=1", "task.anchors=[]", "task.games=1")
    assert found["runs"][0]["players"] == ["main@0002", "main"] and "random" not in table
    assert found["runs"][0]["games"] == [[0, 64], [64, 0]]  # at least a batch of 32 for each half
    assert "Elo is measured from main@0002" in capsys.readouterr().out


def test_a_run_without_snapshots(tmp_path):
    run = write_run(tmp_path / "run", pool=())
    (run / ".hydra" / "overrides.yaml").write_text("- +experiment=fsp\n")
    _, table, _ = contrast(run, tmp_path / "out", "task.games=32")
    assert list(table.index) == ["all"] and np.isnan(table.loc["all", "past"])


def test_a_pool_per_side_is_refused_before_any_match(sweep, tmp_path, capsys):
    # main plays side 0 only, as its snapshots do: it cannot meet its past.
    for run in (sweep / "0_self_play", sweep / "2_fsp"):
        shutil.copytree(run, tmp_path / "runs" / run.name)
    folder = tmp_path / "runs" / "2_fsp"
    shutil.rmtree(folder / "checkpoints")
    league = League([Learner("main", side=0), Learner("main_1", side=1)], Latest(), EverySteps(200))
    write_checkpoint(folder, league, 800, 8, always(ROCK))
    with pytest.raises(ConfigError, match=r"2_fsp: it has a pool per side .*main\.side=0.* task=evaluate"):
        contrast(tmp_path / "runs", tmp_path / "out")
    assert "contrast: " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "run=null: give the directory of a sweep"),
        (["run=/nowhere"], "run=/nowhere: there is no such directory"),
        (["run=conf"], "run=conf: no run below it has a whole checkpoint"),
    ],
)
def test_nothing_to_contrast(overrides, message):
    with pytest.raises(ConfigError, match=message):
        run_task(load(["task=contrast", *overrides]))

"""`task=circle` from the command line: the table, the files, other matchmakers, and wrong settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.metrics.names import check_key
from marl_app.run import run as run_task

ROOT = Path(__file__).resolve().parents[2]


def command_line(*arguments):
    """The result of the experiment in a new process, which lists its imports in stderr."""
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "marl_app", "+experiment=circle", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def errors(result):
    return [line for line in result.stderr.splitlines() if not line.startswith("import time:")]


def played(directory, *overrides, experiment="circle"):
    """The objective and the table of a game played in this process."""
    objective = run_task(load([f"+experiment={experiment}", *overrides], output_dir=str(directory)))
    return objective, pd.read_csv(directory / "strength.csv")


def rounds(table, contestant, column="strength", meta="league"):
    """A column by round."""
    rows = table[(table.contestant == contestant) & (table.meta_strategy == meta)]
    return dict(zip(rows["round"].tolist(), rows[column].tolist(), strict=True))


def curves(directory):
    """{name: {step: value}}, and {name: steps} of the pictures."""
    events = EventAccumulator(str(directory / "tb"))
    events.Reload()
    scalars = {tag: {point.step: point.value for point in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    return scalars, {tag: [image.step for image in events.Images(tag)] for tag in events.Tags()["images"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The result of the unchanged experiment on the command line, and its directory."""
    folder = tmp_path_factory.mktemp("circle") / "run"
    return command_line(f"hydra.run.dir={folder}"), folder


# Strength of the league by round, as printed by a tutorial on this game (seed 7); its pair has 0.000 in every round.
PUBLISHED = {1: 0.150, 5: 0.233, 15: 0.338, 30: 0.437, 45: 0.340, 60: 0.280}


def test_the_table(whole):
    result, folder = whole
    assert result.returncode == 0 and errors(result) == []
    printed = re.findall(r"^│ +(\d+) +│ (\d\.\d{3}) +│ (\d\.\d{3}) +│$", result.stdout, re.MULTILINE)
    assert {int(number): (float(pair), float(league)) for number, pair, league in printed} == {
        number: (0.0, league) for number, league in PUBLISHED.items()
    }
    assert re.search(r"│ mean of the last 15 +│ 0\.000 +│ 0\.292 +│", result.stdout)
    assert re.search(r"│ first at 0\.5 in round +│ never +│ never +│", result.stdout)
    # As in strength.csv: the agent of the pair is one strategy, although it plays three over time.
    assert re.search(r"│ distinct strategies at the end +│ 1 +│ 27 +│", result.stdout)
    table = pd.read_csv(folder / "strength.csv")
    assert (rounds(table, "single self-play", "distinct")[60], rounds(table, "league", "distinct")[60]) == (1, 27)
    assert str(folder) in result.stdout


def test_ray_is_not_imported(whole):
    imported = {line.rpartition("|")[2].strip() for line in whole[0].stderr.splitlines()}
    assert "marl_app.envs.circle" in imported and "ray" not in imported


def test_the_files(whole):
    _, folder = whole
    table = pd.read_csv(folder / "strength.csv")
    assert list(table) == ["round", "contestant", "meta_strategy", "strength", "distinct"]
    assert set(table.contestant) == {"single self-play", "league"}
    league = rounds(table, "league")
    assert list(league) == list(range(1, 61))
    assert {number: round(league[number], 3) for number in PUBLISHED} == PUBLISHED
    assert set(rounds(table, "single self-play").values()) == {0.0}
    for name in ("walk", "strength_league", "diversity_league"):
        picture = imread(folder / f"{name}.png")
        assert picture.shape[0] >= 300 and picture.shape[1] >= 500 and picture.min() < 0.5

    scalars, pictures = curves(folder)
    for name in [*scalars, *pictures]:
        check_key(name)  # documented
    assert {"circle/league/strength/league", "circle/league/distinct", "circle/self_play/strategy"} <= set(scalars)
    assert scalars["circle/league/strength/league"] == pytest.approx(league)
    assert pictures == {f"circle/{name}": [60] for name in ("walk", "strength/league", "diversity/league")}


def test_against_the_latest_the_league_is_a_circle_of_three(whole, tmp_path):
    """All learners cycle through 0, 16 and 2, as the pair does, and more rounds change nothing.

    A mixture with a third of each has strength 1/3: its best response beats two of them and loses to the third.
    """
    table = pd.read_csv(whole[1] / "strength.csv")
    objective, latest = played(tmp_path, "league/matchmaker=latest")
    assert objective == pytest.approx(1 / 3)
    assert rounds(latest, "league", "distinct")[60] == 3 and rounds(table, "league", "distinct")[60] == 27
    assert rounds(latest, "single self-play") == rounds(table, "single self-play")


def test_the_equilibrium_of_the_same_pool_has_the_best_strength(whole, tmp_path):
    objective, table = played(tmp_path, "league/meta=nash")
    assert objective == pytest.approx(0.5)
    before = pd.read_csv(whole[1] / "strength.csv")
    assert rounds(table, "league", "distinct") == rounds(
        before, "league", "distinct"
    )  # the same pool, with another mixture


def test_schemes_side_by_side(whole, tmp_path, capsys):
    _, table = played(tmp_path, "task.rounds=3", experiment="circle_schemes")
    out = capsys.readouterr().out
    assert "(meta-strategy: league, UniformMixture)" in out and "(meta-strategy: nash, Nash)" in out
    assert "…" not in out  # no cell is truncated
    contestants = {"single self-play", "league", "latest", "latest_past", "pfsp", "psro"}
    assert set(table.contestant) == contestants and set(table.meta_strategy) == {"league", "nash"}
    assert len(table) == len(contestants) * 2 * 3
    # The random numbers of a league depend neither on the other leagues nor on the number of rounds.
    single = rounds(pd.read_csv(whole[1] / "strength.csv"), "league")
    assert rounds(table, "league") == {number: single[number] for number in (1, 2, 3)}
    scalars, pictures = curves(tmp_path)
    assert {"circle/psro/strength/nash", "circle/latest_past/strength/league"} <= set(scalars)
    assert len(pictures) == 5


def test_another_seed_plays_another_game(whole, tmp_path):
    _, table = played(tmp_path, "task.rounds=5", "seed=8")
    before = rounds(pd.read_csv(whole[1] / "strength.csv"), "league")
    assert rounds(table, "league") != {number: before[number] for number in range(1, 6)}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "env=tic_tac_toe",
            "env._target_=marl_app.envs.tic_tac_toe.TicTacToe: task=circle plays only the circle game: give env=circle",
        ),
        ("env=rock_paper_scissors", "give env=circle"),
        ("env.num_strategies=3", "env.num_strategies must be at least 4, not 3"),
        ("task.rounds=0", "task.rounds=0 is not allowed: give a value >= 1"),
        ("task.learners=0", "task.learners=0 is not allowed"),
        ("task.opponents=0", "task.opponents=0 is not allowed"),
        ("task.rouns=3", "Did you mean task.rounds?"),
        ("league.pool_limit=3", "pool_limit=3 is too small: each of 5 learners keeps a snapshot"),
        ("~task.matchmakers.league", "task.matchmakers has no entry"),
        ("~task.meta_strategies.league", "task.meta_strategies has no entry"),
    ],
)
def test_errors_name_the_key_and_the_fix(tmp_path, line, expected):
    with pytest.raises(ConfigError) as caught:
        played(tmp_path, line)
    assert expected in str(caught.value) and len(str(caught.value).splitlines()) <= 2


def test_a_wrong_command_line_ends_with_code_two(tmp_path):
    result = command_line("env=tic_tac_toe", f"hydra.run.dir={tmp_path}")
    assert result.returncode == 2 and result.stdout == ""
    [line] = errors(result)
    assert line.startswith("marl_app: env._target_=") and line.endswith("give env=circle")

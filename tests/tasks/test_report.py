"""`task=report`: the page of runs made by an older version, of a small league, and of two runs."""

import io
import json
import re
import shutil
import sys
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from marl_app import watch
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.metrics.records import Records
from marl_app.planning.measured import settings_from_run
from marl_app.report.figures import lineage_figure
from marl_app.report.league_sections import shares_over_time
from marl_app.report.recorded_run import read_run
from marl_app.report.words import game_name
from marl_app.run import run as run_task
from tests.evaluation.runs import write_run

RUNS = Path(__file__).parents[1] / "runs"
VOID = {"meta", "img", "br"}  # elements without an end


class Page(HTMLParser):
    """A parsed page: the texts of each section by its id, in `figures` those inside of SVG, in `sections` all others.

    `tags`: all elements with their attributes. Fails if an element is not closed in its place.
    """

    def __init__(self, text):
        super().__init__()
        self.text, self.sections, self.figures, self.tags, self._open = text, {}, {}, [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id", "")))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        inside = [name for tag, name in self._open if tag == "section"]
        if inside and data.strip():
            texts = self.figures if "svg" in [tag for tag, _ in self._open] else self.sections
            texts.setdefault(inside[-1], []).append(data.strip())

    def value(self, section, name):
        """The text that follows a name: the value of a fact, or the next cell of a table."""
        texts = self.sections[section]
        return texts[texts.index(name) + 1]


def unpack(name, folder):
    with tarfile.open(RUNS / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def report(run, out, *overrides):
    run_task(load(["task=report", f"run='{run}'", *overrides], output_dir=str(out)))
    return Page((out / "report.html").read_text())


@pytest.fixture(scope="module")
def alphastar(tmp_path_factory):
    """The page of three iterations of tic-tac-toe with four learners, and the run."""
    folder = tmp_path_factory.mktemp("alphastar")
    run = unpack("alphastar", folder)
    return report(run, folder / "out"), run


def test_the_page_has_the_numbers_of_the_run(alphastar):
    page, run = alphastar
    summary = json.loads((run / "summary.json").read_text())
    state = json.loads((run / "checkpoints" / "checkpoint-00000003" / "state.json").read_text())
    assert page.value("result", "status") == "finished" and page.value("result", "iterations") == "3"
    assert page.value("result", "env steps") == f"{summary['env_steps']:,}"
    assert page.value("result", "snapshots") == str(summary["pool_size"]) == str(len(state["league"]["snapshots"]))
    score = summary["anchors"]["random"]
    texts = page.sections["evaluation"]
    place = texts.index("random")
    expected = [f"{score['score']:.3f}".replace("1.000", "1"), f"[{score['low']:.3f},\xa0{score['high']:.3f}]"]
    assert texts[place + 1 : place + 4] == [*expected, str(score["games"])]
    matches = pd.read_parquet(run / "matches")
    games = matches[["wins", "draws", "losses"]].to_numpy().sum()
    assert any(text.startswith(f"{games:,} results in all") for text in page.sections["matches"])
    for learner, role in (("main", "main agent"), ("league_exploiter_1", "league exploiter")):
        assert page.value("lineage", learner) == role and learner in page.figures["lineage"]
    assert "main_exploiter@0000" in page.figures["payoff"]
    assert page.value("run", "env") == "tic_tac_toe" and page.value("run", "program").startswith("not recorded")
    command = page.sections["run"][1]
    assert command.startswith("python -m marl_app +experiment=alphastar") and "evaluation.games=4" in command


def test_the_lineages_are_shown_up_to_the_end_of_the_run():
    # The run went on to step 1,000, long after the last edge, which ends at its child, frozen at step 200.
    nodes = {"main@0000": ("main", 100.0), "main@0001": ("main", 200.0)}
    (axes,) = lineage_figure(["main"], nodes, [("main@0000", "main@0001")], 1000.0, "env steps").axes
    low, high = axes.get_xlim()
    assert low < 0 and 1000 < high < 1100


def test_an_older_run_says_what_it_did_not_record(alphastar):
    page, _ = alphastar
    assert "meta_strategy.jsonl is missing" in page.value("absent", "Meta-strategy")
    assert page.value("absent", "Cross-play").startswith("not played yet")
    assert "meta-strategy" not in page.sections
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == [f"#{name}" for name in page.sections]  # the table of contents


def test_the_match_is_shown_position_by_position(alphastar):
    page, _ = alphastar
    texts = page.sections["match"]
    assert texts[1].startswith("player_1 is main, player_2 is main@0000. Scores: main ")
    moves = [text for text in texts if re.match(r"\d+\. player_[12]: ", text)]
    assert 5 <= len(moves) <= 9 and all(re.search(r" \(\d\.\d\d\)$", move) for move in moves)
    boards = texts[texts.index(moves[-1]) + 1]
    assert boards.count("X") + boards.count("O") == len(moves)


def test_the_page_needs_nothing_from_elsewhere(alphastar):
    page, _ = alphastar
    assert "http:" not in page.text and "https:" not in page.text and "@import" not in page.text
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href"):
            assert re.match("#|data:image/png;base64,", attributes.get(name, "#")), attributes
        assert "url(" not in attributes.get("style", "").replace("url(#", "")


def test_a_run_that_goes_on_has_its_latest_numbers(alphastar, tmp_path):
    run = shutil.copytree(alphastar[1], tmp_path / "run")
    (run / "summary.json").unlink()
    lines = (run / "progress.jsonl").read_text().splitlines()
    (run / "progress.jsonl").write_text("\n".join(lines[:-1]) + '\n{"iteration": 3, "steps/env')  # it is being written
    shutil.rmtree(run / "matches")
    page = report(run, tmp_path / "out")
    assert page.value("result", "status") == "unfinished"
    before_last = json.loads(lines[-2])
    assert page.value("result", "iterations") == str(before_last["iteration"])
    assert page.value("result", "env steps") == f"{before_last['steps/env_steps']:,}"
    assert page.value("absent", "Opponents over time") == "matches/ is missing or cannot be read"


def test_a_killed_run_has_its_latest_numbers(alphastar, tmp_path, monkeypatch):
    # Its summary is written by the process that watches it, with null for what only the run itself knows.
    run = shutil.copytree(alphastar[1], tmp_path / "run")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))  # closed without the marker of a regular end
    watch.main(run)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["elo"] is None and summary["sides"] is None
    page, last = report(run, tmp_path / "out"), json.loads((run / "progress.jsonl").read_text().splitlines()[-1])
    assert page.value("result", "status") == "killed"
    assert page.value("result", "env steps") == f"{last['steps/env_steps']:,}"
    assert page.value("result", "Elo") == f"{last['league/elo']:.0f}" and page.value("run", "env") == "tic_tac_toe"
    runtime = yaml.safe_load((run / ".hydra" / "config.yaml").read_text())["runtime"]
    assert settings_from_run(run, runtime, 2, 1)["learner_agent_steps_per_s"] > 0
    assert summary["trained_agent_steps_per_s"] == pytest.approx(summary["trained_agent_steps"] / summary["seconds"])


def test_a_run_that_has_only_begun(alphastar, tmp_path):
    shutil.copytree(alphastar[1] / ".hydra", tmp_path / "run" / ".hydra")
    page = report(tmp_path / "run", tmp_path / "out")
    assert page.value("absent", "Curves") == "progress.jsonl has no curve"
    assert page.value("absent", "Payoff") == "the run has no whole checkpoint"
    assert "no whole checkpoint" in page.value("absent", "A match")
    assert page.value("run", "env") == "tic_tac_toe"


def test_a_team_has_returns_and_no_pool(tmp_path):
    run = unpack("qmix", tmp_path)
    page = report(run, tmp_path / "out")
    summary = json.loads((run / "summary.json").read_text())
    returned = summary["anchors"]["team"]["agent_return"]
    assert float(page.value("result", "return per agent")) == pytest.approx(returned, abs=1e-3)
    for title in ("Payoff", "Opponents over time", "Lineage", "Meta-strategy", "Alarms"):
        assert page.value("absent", title) == "a team without opponents has no pool"
    assert "Return" in page.sections["curves"] and "Elo" not in page.sections["curves"]
    assert "league/matchmaker" not in page.sections["run"]


def test_two_runs_show_first_what_differs(alphastar, tmp_path):
    other = shutil.copytree(alphastar[1], tmp_path / "other")
    config = (other / ".hydra" / "config.yaml").read_text()
    (other / ".hydra" / "config.yaml").write_text(config.replace("\nseed: 0\n", "\nseed: 7\n"))
    page = report(alphastar[1], tmp_path / "out", f"task.against={other}")
    assert list(page.sections)[:3] == ["run", "result", "curves"]
    texts = page.sections["run"]
    names = [f"{alphastar[1].parent.name}/alphastar", f"{tmp_path.name}/other"]
    place = texts.index("setting")
    assert texts[place : place + 6] == ["setting", *names, "seed", "0", "7"]  # nothing else differs
    assert page.sections["result"][1:3] == names
    assert page.figures["curves"].count(names[0]) > 5  # in the legend of each figure
    assert page.figures["payoff"].count("main@0000") == 4  # a row and a column in both payoffs


def test_names_are_text(alphastar, tmp_path):
    # The directory's name is in the title, in the columns and, of two runs, in the legends of figures.
    name = '<img src=x onerror=alert(1)> & "$x_{$'
    run = shutil.copytree(alphastar[1], tmp_path / name)
    file = run / "summary.json"
    file.write_text(file.read_text().replace('"random"', '"<script>evil<\\/script>"'))
    page = report(str(run), tmp_path / "out", f"task.against='{alphastar[1]}'")
    assert not any(tag == "script" or "onerror" in attributes for tag, attributes in page.tags)
    assert (
        f"{tmp_path.name}/{name}" in page.figures["curves"] and "<script>evil</script>" in page.sections["evaluation"]
    )
    assert f"{tmp_path.name}/{name}" in page.sections["result"]


def test_the_newest_results_in_the_run_are_shown(tmp_path):
    run = write_run(tmp_path / "league")
    out = run / "evaluations" / "2026-01-01_evaluate"
    run_task(load(["task=evaluate", f"run={run}", "task.anchors=[random]", "task.games=16"], output_dir=str(out)))
    found = json.loads((out / "cross_play.json").read_text())
    bound = {"low": 0.1, "estimate": 0.25, "payoff": None, "payoff_low": None}
    score = {"score": 0.75, "low": 0.6, "high": 0.9, "games": 40}
    content = {"target": "agent", "best": "greedy", "scores": {"greedy": score}, "bound": bound}
    (run / "evaluations" / "2026-01-02_exploit").mkdir()
    (run / "evaluations" / "2026-01-02_exploit" / "exploit.json").write_text(json.dumps(content))
    page = report(run, run / "evaluations" / "2026-01-03_report")
    elo = {row["player"]: row["elo"] for row in found["players"]}
    best = max(elo, key=elo.get)
    assert page.value("cross-play", best) == f"{elo[best]:,.0f}"
    texts = page.sections["exploitability"]
    assert texts[texts.index("2026-01-02_exploit") :][:5] == ["2026-01-02_exploit", "agent", "0.250", "0.100", "40"]


def test_the_meta_strategy_over_time(tmp_path):
    run = write_run(tmp_path / "league")
    (run / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {league/meta: nash}}}")
    records = Records(run)
    records.append_meta_strategy(3, 300, None, {"main@0000": 1.0})
    records.append_meta_strategy(5, 500, None, {"main@0000": 0.125, "main@0001": 0.875})
    page = report(run, tmp_path / "out")
    assert page.sections["meta-strategy"][-4:] == ["main@0001", "0.875", "main@0000", "0.125"]
    assert {"main@0000", "main@0001"} <= set(page.figures["meta-strategy"])


def test_shares_of_opponents_over_time(tmp_path):
    # In each of 8 iterations main plays 10 matches against itself and 4 against each snapshot; one is added after every
    # second iteration, up to three. Without env steps in progress.jsonl time is counted in iterations.
    run = read_run(write_run(tmp_path / "league"))
    matches = run.matches()
    order, edges, shares = shares_over_time(run, matches)
    assert order == ["main@0000", "main@0001", "main@0002", "main"] and edges.tolist() == list(range(9))
    np.testing.assert_allclose(shares[3], np.repeat([10 / 10, 10 / 14, 10 / 18, 10 / 22], 2))
    np.testing.assert_allclose(shares[1], [0, 0, 0, 0, 4 / 18, 4 / 18, 4 / 22, 4 / 22])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "run=null: give the directory of a run"),
        (["run=conf"], "run: conf is not the directory of a run"),
        (["run=conf", "task.against=/nowhere"], "is not the directory of a run"),
    ],
)
def test_nothing_to_report(overrides, message):
    with pytest.raises(ConfigError, match=message):
        run_task(load(["task=report", *overrides]))


def test_a_game_of_an_adapter_has_its_own_name():
    assert game_name({"_target_": "adapters.PettingZoo", "name": "gomoku"}, "pettingzoo") == "gomoku"
    assert game_name({"_target_": "games.ConnectFour"}, "connect_four") == "connect_four"
    assert game_name({"_target_": "games.ConnectFour"}) == "ConnectFour"

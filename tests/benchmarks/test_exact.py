"""The exact tables: schedules fit the run, finished runs are skipped, and the page has what the runs recorded."""

import json
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed with the app

from benchmarks.exact import main, parse  # noqa: E402
from benchmarks.exact_cases import GAMES, Case, at_most, case_overrides, stretched  # noqa: E402
from benchmarks.exact_page import read_results, table, write_page  # noqa: E402
from benchmarks.exact_runs import OtherSettingsError, clear, missing_runs, recorded  # noqa: E402
from benchmarks.run_queue import TrainingRun, run_all  # noqa: E402
from marl_app.assembly.instantiate import env_factory  # noqa: E402
from marl_app.config.compose import load  # noqa: E402
from marl_app.evaluation.exploitability import exact_game  # noqa: E402
from marl_app.players.policy import RandomPolicy  # noqa: E402
from marl_app.runs.lock import RunInUseError, run_lock  # noqa: E402

STEPS = 100_000
KUHN = Case("kuhn_poker", "league", "none")


def write_run(folder, overrides, values, status="finished", meta=None):
    """Write the files of a run whose agent had these NashConvs, evenly spaced until STEPS env steps."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {json.dumps(line)}\n" for line in overrides))
    (folder / "summary.json").write_text(json.dumps({"status": status, "seconds": 90.0, "pool_size": 7}))
    rows = [{"steps/env_steps": 0, "seconds": 0.0}]  # an iteration without a measurement
    for number, value in enumerate(values, 1):
        rows.append({"steps/env_steps": STEPS * number / len(values), "seconds": 1.0, "nash_conv/agent": value})
        if meta is not None and number > len(values) / 2:
            rows[-1]["nash_conv/meta_strategy"] = meta
    (folder / "progress.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_schedule_ends_with_the_run():
    assert stretched([[0, 0.2], [2_000_000, 0.1]], 500_000) == [[0, 0.2], [500_000, 0.1]]
    assert stretched([[0, 1.0], [100, 0.5], [400, 0.0]], 1000) == [[0, 1.0], [250, 0.5], [1000, 0.0]]
    assert stretched([[0, 0.3]], 1000) == [[0, 0.3]]  # a constant
    assert at_most(75, 48) == 48 and at_most(10, 48) == 10
    assert at_most([[0, 10], [500, 75]], 48) == [[0, 10], [500, 48]]


@pytest.mark.parametrize("magnet", ["none", "snapshot"])
def test_settings_of_kuhn_poker_fit_a_short_run(magnet):
    config = load(case_overrides(Case("kuhn_poker", "league", magnet), 500_000))
    shipped = load(["+experiment=league", "env=kuhn_poker"])
    for name in ("lr", "entropy_coeff"):
        schedule, before = getattr(config.algorithm, name), getattr(shipped.algorithm, name)
        assert schedule[-1][0] == 500_000
        assert [value for _, value in schedule] == [value for _, value in before]
    assert config.league.schedule["agent_steps"] == 10_000
    assert (config.algorithm.magnet, config.league.freeze) == (
        ("none", "weights") if magnet == "none" else ("snapshot", "average")
    )
    if magnet == "snapshot":  # 500,000 / 4096 = 122 updates
        assert config.algorithm.magnet_updates == 12
        assert config.league.average_rate == pytest.approx(1 / 12, abs=1e-4)


def test_psro_has_a_magnet_only_if_asked_and_alphastar_counts_the_updates_of_one_of_four_learners():
    psro = {
        magnet: load(case_overrides(Case("leduc_poker", "psro", magnet), 2_000_000)) for magnet in ("none", "snapshot")
    }
    assert [config.algorithm.magnet for config in psro.values()] == ["none", "snapshot"]
    assert psro["snapshot"].league.schedule["budget_factor"] == 5
    alphastar = load(case_overrides(Case("kuhn_poker", "alphastar", "snapshot"), 2_000_000))
    assert alphastar.algorithm.magnet_updates == 12  # 2,000,000 / 4096 / 4 = 122 updates of the main agent


def test_random_play_of_the_small_games():
    # Kuhn poker: each player gains 11/24 by a best response to uniformly random play. The others are slower to read.
    for name in ("kuhn_poker", "leduc_poker"):
        make_env = env_factory(load(list(GAMES[name].overrides)).env)
        game = exact_game(make_env, 10_000)
        plans = game.plans(game.behavior(RandomPolicy(make_env(1))))
        assert game.nash_conv(plans) == pytest.approx(GAMES[name].random_play, abs=1e-4)


def test_finished_runs_are_skipped(tmp_path):
    other = Case("kuhn_poker", "psro", "none")
    runs = missing_runs(tmp_path, [KUHN, other], [1, 2], STEPS)
    # All cases with the first seed come before the second seed.
    assert [run.directory.relative_to(tmp_path).as_posix() for run in runs] == [
        "kuhn_poker/league-none/1",
        "kuhn_poker/psro-none/1",
        "kuhn_poker/league-none/2",
        "kuhn_poker/psro-none/2",
    ]
    write_run(runs[0].directory, runs[0].overrides, [0.5])
    write_run(runs[1].directory, runs[1].overrides, [0.5], status="interrupted")
    (runs[2].directory / "checkpoints").mkdir(parents=True)  # killed before its first summary
    assert missing_runs(tmp_path, [KUHN, other], [1, 2], STEPS) == runs[1:]
    with pytest.raises(OtherSettingsError, match="kuhn_poker/league-none/1 holds a finished run with other"):
        missing_runs(tmp_path, [KUHN], [1], 2 * STEPS)


def test_what_an_unfinished_run_left_is_removed_unless_it_still_trains(tmp_path):
    run = TrainingRun(tmp_path / "run", [])
    clear(run)  # nothing is there
    write_run(run.directory, [], [0.5], status="interrupted")
    with run_lock(run.directory), pytest.raises(RunInUseError):
        clear(run)
    assert recorded(run.directory) is None and run.directory.exists()
    clear(run)
    assert not run.directory.exists()


def test_the_page_has_mean_interval_minutes_and_seeds(tmp_path):
    for run, final in zip(missing_runs(tmp_path, [KUHN], [1, 2, 3], STEPS), (0.1, 0.2, 0.3), strict=True):
        # A quarter: 0.8 in all seeds; half: 0.4; the end: 0.1, 0.2, 0.3. The pool is empty in the first half.
        write_run(run.directory, run.overrides, [0.8, 0.4, 0.4, final], meta=0.25)
    (run,) = missing_runs(tmp_path, [Case("kuhn_poker", "league", "snapshot")], [1], STEPS)
    write_run(run.directory, run.overrides, [0.8, 0.4, 0.2, 0.05])
    write_run(tmp_path / "kuhn_poker" / "league-none" / "4", run.overrides, [0.9], status="failed")  # not counted
    header, without, with_magnet = table(read_results(tmp_path, "kuhn_poker"))
    assert header[2:5] == ["agent, a quarter", "agent, half", "agent, the end"]
    assert without[:2] == ["league", "none"] and without[-3:] == ["1.5", "7", "3"]
    assert without[2].startswith("0.8 (0.8") and without[3].startswith("0.4 (0.4")
    assert without[4] == "0.2 (0.1 to 0.3)"  # of three seeds the mean; resampling can draw one seed three times
    assert without[5:8] == ["-", "-", "0.25 (0.25 to 0.25)"]
    assert with_magnet[:5] == ["league", "snapshot", "0.8", "0.4", "0.05"]  # one seed has no interval

    (tmp_path / "pictures").mkdir()
    (tmp_path / "exact.md").write_text("head\n<!-- begin results -->\nold\n<!-- end results -->\n")
    assert main(["--page", "--directory", str(tmp_path), "--docs", str(tmp_path)]) == 0
    page = (tmp_path / "exact.md").read_text()
    assert page.startswith("head\n") and "old" not in page
    assert "## Kuhn poker" in page and "0.2 (0.1 to 0.3)" in page and "100,000 env steps per run" in page
    assert "Leduc" not in page  # no finished runs
    assert (tmp_path / "pictures" / "exact_kuhn_poker.png").stat().st_size > 1000


def test_the_page_in_docs_has_a_place_for_the_results(tmp_path):
    (tmp_path / "exact.md").write_text((ROOT / "docs" / "exact.md").read_text())
    assert write_page(tmp_path / "runs", tmp_path) == []


class Script(TrainingRun):
    """A stand-in for a training run: a line of Python."""

    @property
    def command(self):
        return [sys.executable, "-c", *self.overrides]


def test_a_failed_run_does_not_stop_the_others(tmp_path):
    runs = [Script(tmp_path / str(status), [f"print('text'); raise SystemExit({status})"]) for status in (3, 0, 1)]
    assert {run.directory.name: status for run, status in run_all(runs, 2)} == {"3": 3, "0": 0, "1": 1}
    assert (tmp_path / "3" / "run.log").read_text() == "text\n"


def test_leaving_early_ends_the_runs_in_progress(tmp_path):
    saves = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(0)))"
    slow = Script(tmp_path / "slow", [f"{saves}; print('ready', flush=True); time.sleep(60)"])
    quick = Script(tmp_path / "quick", [f"import time; {wait_for(tmp_path / 'slow' / 'run.log')}"])
    ends = run_all([slow, quick], 2)
    assert next(ends)[0] is quick
    before = time.monotonic()
    ends.close()  # as KeyboardInterrupt does
    assert time.monotonic() - before < 30
    assert (tmp_path / "slow" / "run.log").read_text() == "ready\nsaved\n"


def wait_for(log):
    """Return Python that waits until the log has text."""
    return f"exec({f'while not open({str(log)!r}).read(): time.sleep(0.05)'!r})"


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["--games", "kuhn_poker,go"])
    assert "choose from kuhn_poker, leduc_poker" in capsys.readouterr().err
    assert parse(["--seeds", "3,1", "--env-steps", "2_000_000"]).seeds == [1, 3]

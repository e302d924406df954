"""That the benchmark runs and reports, and that its bare loop computes what the app does; not how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed with the app

from benchmarks.contestants.bare import BareLoop  # noqa: E402
from benchmarks.lineup import LINEUP, RATIOS  # noqa: E402
from benchmarks.settings import QUICK  # noqa: E402
from benchmarks.tables import Place, spread  # noqa: E402
from marl_app.rllib.advantages import gae  # noqa: E402


def bench(results, *arguments, timeout=300):
    command = [sys.executable, "-m", "benchmarks.throughput", "--quick", "--results", str(results), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (file,) = results.glob("*.json")
    return done.stdout, json.loads(file.read_text())


def check(result, contestants):
    assert list(result["contestants"]) == contestants
    for entry in result["contestants"].values():
        for mode in ("sampling", "learning"):
            assert all(len(entry[mode][figure]) == result["rounds"] for figure in entry[mode])
            assert min(entry[mode]["env_steps_per_s"]) >= min(entry[mode]["trained_agent_steps_per_s"]) * 0.9 > 0
            assert min(entry[mode]["cores"]) > 0
    wanted = [ratio for ratio in RATIOS if {ratio.above, ratio.below} <= set(contestants)]
    assert [(r["above"], r["below"], r["figure"]) for r in result["ratios"]] == [ratio[:3] for ratio in wanted]
    assert {"machine", "versions", "settings", "time", "commit", "seconds"} <= set(result)


def test_a_quick_run_prints_tables_and_writes_every_round(tmp_path):
    output, result = bench(tmp_path, "--contestants", "bare,self_play")
    check(result, ["self_play", "bare"])
    assert "bare loop" in output


@pytest.mark.slow
def test_a_quick_run_of_everybody(tmp_path):
    _, result = bench(tmp_path, timeout=900)
    check(result, list(LINEUP))
    league = result["contestants"]["league"]["learning"]
    # Every match is against a snapshot, so one of two plies trains.
    assert league["trained_agent_steps_per_s"][0] / league["env_steps_per_s"][0] == pytest.approx(0.5, abs=0.1)


def test_an_unknown_contestant_is_refused():
    command = [sys.executable, "-m", "benchmarks.throughput", "--contestants", "nobody"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no contestant nobody" in done.stderr


def test_the_bare_loop_computes_the_advantages_that_the_app_does():
    # The app's gae goes by links between rows. Here the links of alternating turns are written down step by step.
    bare = BareLoop(QUICK)
    with torch.inference_mode():
        fragment = bare._collect()
        advantages, targets = bare._advantages(fragment)
        values = bare._values(fragment.observations).numpy()
        after = bare._values(fragment.next_observations).numpy()
    count, steps = QUICK.matches, QUICK.rows // QUICK.matches
    rows = np.arange(steps * count).reshape(steps, count)
    won, ended = fragment.rewards.numpy().reshape(steps, count), fragment.ended.numpy().reshape(steps, count)
    rewards, last = won.copy(), np.zeros_like(won)
    successors = np.full((steps, count), -1)
    for step in range(steps):
        for match in range(count):
            if ended[step, match]:
                continue
            if step + 1 == steps:
                last[step, match] = -after[match]  # the other side's turn, seen by the other side
            elif ended[step + 1, match]:
                rewards[step, match] -= won[step + 1, match]
            elif step + 2 == steps:
                last[step, match] = after[match]
            else:
                successors[step, match] = rows[step + 2, match]
    blocks = [(start, start + count) for start in range(0, steps * count, count)]
    flat = [array.ravel() for array in (rewards, successors, last)]
    settings = QUICK.algorithm()
    expected = gae(flat[0], values, flat[1], flat[2], blocks, settings["gamma"], settings["lambda_"])
    assert ended.any() and (won == 1).any()
    np.testing.assert_allclose(targets.numpy(), expected + values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(advantages.numpy(), (expected - expected.mean()) / expected.std(), rtol=1e-2, atol=1e-3)


def test_the_bare_loop_trains_on_every_ply():
    bare = BareLoop(QUICK)
    first = next(bare.policy.parameters()).clone()
    for _ in range(3):
        steps = bare.iterate(learn=True)
    assert steps == (QUICK.rows, QUICK.rows)
    assert not torch.equal(first, next(bare.policy.parameters()))


def test_a_place_is_filled_and_the_rest_of_the_page_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n", encoding="utf-8")
    for _ in range(2):
        Place(page, "x").fill("new", "and more")
    assert page.read_text() == "a\n<!-- begin x -->\n\nnew\n\nand more\n\n<!-- end x -->\nb\n"
    with pytest.raises(ValueError, match="begin y"):
        Place(page, "y")


def test_the_page_has_its_places():
    for name in ("search", "epochs=4", "epochs=1"):
        Place(ROOT / "docs" / "benchmarks.md", name)


def test_spread_shows_the_median_and_the_range():
    assert spread([3000.0, 1000.0, 2000.0], 0) == "2,000\n1,000..3,000"

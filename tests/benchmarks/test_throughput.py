"""The benchmark runs and reports, and its bare loop computes the advantages of the app; speed is not tested."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed with the app

from benchmarks.contestants.bare import ConnectFourLoop, SimpleSpreadLoop  # noqa: E402
from benchmarks.games import GAMES  # noqa: E402
from benchmarks.settings import QUICK, settings_for  # noqa: E402
from benchmarks.tables import DocsSection, median_and_range  # noqa: E402
from marl_app.rllib.ppo.advantages import gae  # noqa: E402

SPREAD = settings_for("simple_spread", quick=True)


def run_benchmark(results, *arguments, timeout=300):
    command = [sys.executable, "-m", "benchmarks.throughput", "--quick", "--results", str(results), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (file,) = results.glob("*.json")
    return done.stdout, json.loads(file.read_text())


def check_result(result, contestants):
    assert list(result["contestants"]) == contestants
    game = GAMES[result["settings"]["game"]]
    for entry in result["contestants"].values():
        for mode in ("sampling", "learning"):
            assert all(len(entry[mode][figure]) == result["rounds"] for figure in entry[mode])
            decisions = game.deciders * min(entry[mode]["env_steps_per_s"])
            assert decisions >= min(entry[mode]["trained_agent_steps_per_s"]) * 0.9 > 0
            assert min(entry[mode]["cores"]) > 0
    # All networks are equal, except for a few untrained numbers (ours: 4 of PopArt, RLlib's: 2 constants) and for the
    # larger centralized critic of MAPPO.
    sizes = [entry["facts"]["parameters"] for name, entry in result["contestants"].items() if name != "mappo"]
    assert max(sizes) - min(sizes) <= 4
    wanted = [ratio for ratio in game.ratios if {ratio.above, ratio.below} <= set(contestants)]
    assert [(r["above"], r["below"], r["figure"]) for r in result["ratios"]] == [ratio[:3] for ratio in wanted]
    assert {"machine", "versions", "settings", "time", "commit", "seconds"} <= set(result)


@pytest.mark.slow
def test_a_quick_run_prints_tables_and_writes_every_round(tmp_path):
    output, result = run_benchmark(tmp_path, "--contestants", "bare,self_play")
    check_result(result, ["self_play", "bare"])
    assert "bare loop" in output


@pytest.mark.slow
def test_a_quick_run_of_the_cooperative_game(tmp_path):
    _, result = run_benchmark(tmp_path, "--game", "simple_spread", "--contestants", "bare,stock")
    check_result(result, ["stock", "bare"])
    for entry in result["contestants"].values():  # three agents act in each step
        for mode in ("sampling", "learning"):
            assert entry[mode]["trained_agent_steps_per_s"] == pytest.approx([3 * entry[mode]["env_steps_per_s"][0]])


@pytest.mark.slow
def test_a_quick_run_of_all_contestants_in_the_cooperative_game(tmp_path):
    _, result = run_benchmark(tmp_path, "--game", "simple_spread", timeout=900)
    check_result(result, list(GAMES["simple_spread"].lineup))


@pytest.mark.slow
def test_a_quick_run_of_all_contestants(tmp_path):
    _, result = run_benchmark(tmp_path, timeout=900)
    check_result(result, list(GAMES["connect_four"].lineup))
    league = result["contestants"]["league"]["learning"]
    # Every match is against a snapshot, so one of two plies is trained on.
    assert league["trained_agent_steps_per_s"][0] / league["env_steps_per_s"][0] == pytest.approx(0.5, abs=0.1)


def test_an_unknown_contestant_is_an_error():
    command = [sys.executable, "-m", "benchmarks.throughput", "--contestants", "missing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "unknown contestant missing" in done.stderr


def test_the_bare_loop_computes_the_advantages_of_the_app():
    # The app's `gae` follows links from each row to the next row of the same agent. Here these links are set for
    # alternating turns, step by step.
    bare = ConnectFourLoop(QUICK)
    with torch.inference_mode():
        rollout = bare._collect()
        advantages, targets = bare._advantages(rollout)
    values, after = rollout.values.numpy(), rollout.next_values.numpy()
    count, steps = QUICK.matches, QUICK.rows // QUICK.matches
    rows = np.arange(steps * count).reshape(steps, count)
    won, ended = rollout.rewards.numpy().reshape(steps, count), rollout.ended.numpy().reshape(steps, count)
    rewards, last = won.copy(), np.zeros_like(won)
    successors = np.full((steps, count), -1)
    for step in range(steps):
        for match in range(count):
            if ended[step, match]:
                continue
            if step + 1 == steps:
                last[step, match] = -after[match]  # the opponent is to move, and `after` is its value
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


def test_the_bare_loop_computes_the_advantages_of_the_app_for_truncated_matches():
    bare = SimpleSpreadLoop(SPREAD)
    with torch.inference_mode():
        rollout = bare._collect()
        advantages, targets = bare._advantages(rollout)
        values = bare._critic(rollout.observations).squeeze(1).numpy()
    width, steps = SPREAD.matches * 3, SPREAD.rows // SPREAD.matches
    rows = np.arange(steps * width).reshape(steps, width)
    ended = rollout.ended.numpy().astype(bool).reshape(steps, width)
    assert ended[24].all() and ended.sum() == width  # within 32 steps all matches end once, after 25 steps
    # The last rewards of a truncated match already include its bootstrapped value.
    successors = np.where(ended, -1, np.concatenate([rows[1:], np.full((1, width), -1)]))
    last = np.zeros((steps, width), np.float32)
    last[-1] = rollout.next_values.numpy()
    blocks = [(start, start + width) for start in range(0, steps * width, width)]
    settings = SPREAD.algorithm()
    flat = (rollout.rewards.numpy(), values, successors.ravel(), last.ravel())
    expected = gae(*flat, blocks, settings["gamma"], settings["lambda_"])
    np.testing.assert_allclose(targets.numpy(), expected + values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(advantages.numpy(), (expected - expected.mean()) / expected.std(), rtol=1e-2, atol=1e-3)


def test_the_last_reward_of_a_truncated_match_includes_the_value_of_its_last_observation():
    bare = SimpleSpreadLoop(SPREAD)
    still = np.zeros((SPREAD.matches, 3), np.int64)
    with torch.inference_mode():
        for _ in range(24):
            assert not bare._step(still.ravel())[1].any()
        env = copy.deepcopy(bare._env)
        paid = env.step([still], np.random.default_rng(0)).rewards.ravel()
        value = bare._critic(torch.from_numpy(env.observe(*bare._seats))).squeeze(1).numpy()
        rewards, ended = bare._step(still.ravel())
    assert ended.all()
    np.testing.assert_allclose(rewards, paid + SPREAD.algorithm()["gamma"] * value, rtol=1e-5)


def test_the_bare_loop_trains_on_every_ply():
    bare = ConnectFourLoop(QUICK)
    first = next(bare.policy.parameters()).clone()
    for _ in range(3):
        steps = bare.iterate(learn=True)
    assert steps == (QUICK.rows, QUICK.rows)
    assert not torch.equal(first, next(bare.policy.parameters()))


def test_a_section_is_filled_and_the_rest_of_the_page_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n", encoding="utf-8")
    for _ in range(2):
        DocsSection(page, "x").fill("new", "and more")
    assert page.read_text() == "a\n<!-- begin x -->\n\nnew\n\nand more\n\n<!-- end x -->\nb\n"
    with pytest.raises(ValueError, match="begin y"):
        DocsSection(page, "y")


def test_the_page_has_all_sections():
    names = ("search", "epochs=4", "epochs=1")
    for name in (*names, *(f"simple_spread {name}" for name in names), "scaling"):
        DocsSection(ROOT / "docs" / "benchmarks.md", name)


def test_a_cell_has_the_median_and_the_range():
    assert median_and_range([3000.0, 1000.0, 2000.0], 0) == "2,000\n1,000..3,000"

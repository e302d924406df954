"""Settings measured from a run; `runs.py` explains its numbers."""

import json

import pytest

from marl_app.planning.measured import settings_from_run
from tests.planning.runs import RUNTIME, write_run
from tests.planning.sizes import size


def test_rates_and_pool_of_a_run(tmp_path):
    found = settings_from_run(write_run(tmp_path / "run"), RUNTIME, sides=2, agents_per_side=1)
    assert found == {
        "matches_at_once": 50,
        "match_env_steps": pytest.approx(60),
        "match_s": pytest.approx(3),
        "agent_steps_per_env_step": pytest.approx(0.5),  # 0.75 / 1.5 sides
        "learner_agent_steps_per_s": pytest.approx(3000),  # 3,000 rows in 1 s
        "update_interval_s": pytest.approx(2),
        "weights_interval_s": pytest.approx(2),
        "opponent_interval_s": pytest.approx(3),  # a match is longer than an iteration
        "opponents_at_once": 8,
        "snapshot_bytes": 10_000,
        "freeze_interval_s": pytest.approx(4),  # 6,000 agent steps at 1,500 per second
        "elo_per_generation": pytest.approx(100, rel=0.01),
    }


def test_a_plan_of_the_same_size_reproduces_the_rates_of_the_run(tmp_path):
    found = settings_from_run(write_run(tmp_path / "run"), RUNTIME, sides=2, agents_per_side=1)
    plan = size(**{**found, "actors": 2, "nodes": 1, "racks": 1})
    assert plan.env_steps_per_s == pytest.approx(2000)  # 4,000 in 2 s
    assert plan.agent_steps_per_s(self_play=0.5) == pytest.approx(1500)
    assert plan.batch_agent_steps(self_play=0.5) == pytest.approx(3000)


def test_a_pool_of_one_omits_interval_and_strength(tmp_path):
    found = settings_from_run(write_run(tmp_path / "run", snapshots=1), RUNTIME, sides=2, agents_per_side=1)
    assert "snapshot_bytes" in found
    assert not {"freeze_interval_s", "elo_per_generation"} & set(found)


def test_a_torn_checkpoint_is_skipped(tmp_path):
    run = write_run(tmp_path / "run")
    torn = run / "checkpoints" / "checkpoint-00000011"
    torn.mkdir()
    (torn / "state.json").write_text("{")
    assert settings_from_run(run, RUNTIME, 2, 1)["snapshot_bytes"] == 10_000


def test_more_agent_steps_than_the_agents_can_take_are_refused(tmp_path):
    # 12,000 rows from 4,000 env steps: one side with three agents that act in every step, not one agent.
    run = write_run(tmp_path / "run")
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    lines = [{**line, "steps/trained_agent_steps": 12_000 * line["iteration"]} for line in lines]
    (run / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"3\.00 agent steps per env step.*task\.agents_per_side"):
        settings_from_run(run, RUNTIME, sides=1, agents_per_side=1)
    assert settings_from_run(run, RUNTIME, sides=1, agents_per_side=3)["agent_steps_per_env_step"] == 1


def test_sides_and_agents_are_those_of_the_run(tmp_path):
    # 12,000 rows from 4,000 env steps: a team of three agents, as the summary says, whatever is given.
    run = write_run(tmp_path / "run")
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    lines = [{**line, "steps/trained_agent_steps": 12_000 * line["iteration"]} for line in lines]
    (run / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = json.loads((run / "summary.json").read_text()) | {"sides": [["a", "b", "c"]]}
    (run / "summary.json").write_text(json.dumps(summary))
    found = settings_from_run(run, RUNTIME, sides=2, agents_per_side=1)
    assert (found["sides"], found["agents_per_side"], found["agent_steps_per_env_step"]) == (1, 3, 1)


def test_lines_that_leave_out_iterations_measure_the_same(tmp_path):
    run = write_run(tmp_path / "run")
    before = settings_from_run(run, RUNTIME, 2, 1)
    lines = (run / "progress.jsonl").read_text().splitlines()
    (run / "progress.jsonl").write_text("".join(lines[index] + "\n" for index in (0, 3, 4, 9)))
    assert settings_from_run(run, RUNTIME, 2, 1) == pytest.approx(before)


def test_one_line_is_too_few(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "progress.jsonl").write_text((run / "progress.jsonl").read_text().splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="1 lines of progress"):
        settings_from_run(run, RUNTIME, 2, 1)

"""Evaluation in parallel with training: its results are reported, and no failure of it stops training."""

import _thread
import os
import signal
import threading
import time

import numpy as np
import pytest
import ray

from marl_app.callbacks.evaluation import EvaluateAnchors
from marl_app.runs.state import RunState
from tests.rllib.runs import running, train_until, watch_messages, watch_reports

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(200)]

CALLBACKS = "callbacks=[league,evaluation,metrics]"


def evaluation(algorithm):
    [callback] = [callback for callback in algorithm.callbacks if isinstance(callback, EvaluateAnchors)]
    return callback


def test_evaluation_survives_a_killed_process_and_an_interrupt(tmp_path):
    overrides = ("evaluation.every_iterations=2", "evaluation.games=10", "evaluation.anchors=[random,mcts_2]")
    with running(tmp_path, "env=tic_tac_toe", CALLBACKS, *overrides) as algorithm:
        callback = evaluation(algorithm)
        reports, messages = watch_reports(algorithm), watch_messages(algorithm)

        def reported():
            return {key for report in reports for key in report.metrics if key.startswith("evaluation/")}

        def pictures():
            return [report.images["evaluation/match"] for report in reports if "evaluation/match" in report.images]

        algorithm.train()
        assert not callback._running  # an evaluation is due in every second iteration
        algorithm.train()
        assert len(callback._running) == 6  # two anchors in two modes, solved positions, and a picture
        train_until(algorithm, lambda: len(reported()) == 16 and pictures())
        # Eight positions of 160 pixels and their captions in two rows, or fewer of a short match, below two lines.
        [picture] = pictures()[:1]
        assert picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.shape[1] >= 4 * 150
        expected = {
            f"evaluation/{anchor}/{mode}/{value}"
            for anchor in ("random", "mcts_2") for mode in ("sampled", "greedy") for value in ("score", "low", "high")
        }  # fmt: skip
        solved = "evaluation/value_preserving_moves"
        assert reported() == expected | {solved, f"{solved}/low", f"{solved}/high", f"{solved}/sampled"}
        assert {name: score["games"] for name, score in algorithm.anchors.items()} == {"random": 10, "mcts_2": 10}
        assert all(0 <= score["low"] <= score["score"] <= score["high"] <= 1 for score in algorithm.anchors.values())
        assert any(message.startswith("against mcts_2: ") for message in messages)

        # Tic-tac-toe has solved positions. A random player keeps the value in 0.40 of them.
        assert any("3,191 solved positions" in message for message in messages)
        kept = algorithm.value_preserving_moves
        assert 0.3 < kept["low"] < kept["share"] < kept["high"] < 0.8 and kept["positions"] == 3191
        assert 0.3 < kept["sampled"] < 0.8
        saved = RunState.from_json(algorithm.run_state().to_json())  # as a checkpoint keeps it
        assert saved.value_preserving_moves == kept

        # The evaluation process is killed in the middle of an evaluation, which is long enough for that.
        pid = ray.get(callback._evaluator.__ray_call__.remote(lambda self: os.getpid()))
        train_until(algorithm, lambda: not callback._running)
        callback._anchors, callback._games = ["random"], 10_000
        train_until(algorithm, lambda: callback._running)
        os.kill(pid, signal.SIGKILL)
        callback._games = 10
        iteration, failures = algorithm.iteration, algorithm.counters.failures
        messages = watch_messages(algorithm)
        train_until(algorithm, lambda: any(message.startswith("evaluation against") for message in messages))
        reports = watch_reports(algorithm)
        train_until(algorithm, lambda: len(reported()) == 10)  # a new process plays the next evaluation
        assert algorithm.iteration > iteration
        assert algorithm.report["health/failures"] > failures == 0

        # The end of a run waits for a last evaluation until the user interrupts it.
        callback._games = 1_000_000
        ended = threading.Event()

        def interrupt():  # repeated, because an interrupt that is raised in a destructor is lost
            for wait_s in (0.5, 5, 5, 5):
                if not ended.wait(wait_s):
                    _thread.interrupt_main()

        threading.Thread(target=interrupt).start()
        began = time.monotonic()
        algorithm.events.fire("on_run_end", status="finished")
        ended.set()
        assert time.monotonic() - began < 30
        assert messages[-1] == "the last evaluation was interrupted"


def test_an_evaluation_that_raises_is_reported_as_a_message(tmp_path):
    game = (
        "env=rock_paper_scissors",
        "env._target_=tests.rllib.games.Faulty",
        "~env.payoff",
        f"+env.folder={tmp_path}",
    )
    overrides = ("evaluation.every_iterations=1", "evaluation.games=4", "evaluation.anchors=[random]")
    with running(tmp_path, *game, CALLBACKS, *overrides) as algorithm:
        messages = watch_messages(algorithm)
        evaluation(algorithm)._start(algorithm)
        (tmp_path / "fault").write_text("raise")  # only the evaluation plays meanwhile, not the driver
        ray.wait(list(evaluation(algorithm)._running), num_returns=2, timeout=60)
        (tmp_path / "fault").unlink()
        algorithm.train()
        assert any("the simulation exploded" in message for message in messages)
        assert algorithm.iteration == 1


def test_anchors_that_cannot_play_the_game_are_skipped_with_a_note(tmp_path):
    overrides = ("env=rock_paper_scissors", "evaluation.anchors=[mcts_10]")
    with running(tmp_path, CALLBACKS, *overrides) as algorithm:
        assert [note.partition(":")[0] for note in algorithm.messages_at_start] == ["no evaluation against mcts_10"]
        algorithm.train()
        algorithm.events.fire("on_run_end", status="finished")
        assert not algorithm.anchors

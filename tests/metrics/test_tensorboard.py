"""The TensorBoard writer, read back with TensorBoard's readers."""

import subprocess
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata

from marl_app.metrics.hparams import compared_metrics, compared_values
from marl_app.metrics.names import check_key, find_metric
from marl_app.metrics.tensorboard import TensorBoard


def read(directory) -> EventAccumulator:
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def curve(directory, key) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(directory).Scalars(key)]


def test_scalars_are_curves_over_env_steps(tmp_path):
    board = TensorBoard(tmp_path)
    board.scalars({"league/elo": 1000.0, "league/win_rate/oldest": np.float32(0.5)}, step=10)
    board.scalars({"league/elo": 1010.0}, step=20)
    board.close()
    assert curve(tmp_path, "league/elo") == [(10, 1000.0), (20, 1010.0)]
    assert curve(tmp_path, "league/win_rate/oldest") == [(10, 0.5)]


def test_an_undocumented_metric_cannot_be_logged(tmp_path):
    board = TensorBoard(tmp_path)
    with pytest.raises(KeyError, match="made/up"):
        board.scalars({"league/elo": 1.0, "made/up": 1.0}, step=1)
    with pytest.raises(KeyError, match="made/up"):
        board.image("made/up", np.zeros((2, 2, 3), np.uint8), step=1)
    board.close()
    assert read(tmp_path).Tags()["scalars"] == []


def test_nonfinite_values_are_counted_and_left_out(tmp_path):
    board = TensorBoard(tmp_path)
    board.scalars({"learner/vf_loss": float("nan"), "learner/entropy": float("inf"), "league/elo": 1.0}, step=1)
    board.scalars({"learner/vf_loss": 0.5}, step=2)
    board.close()
    assert curve(tmp_path, "warnings/nonfinite") == [(1, 2.0), (2, 2.0)]
    assert curve(tmp_path, "learner/vf_loss") == [(2, 0.5)]


def test_alarms_and_failures_are_curves_from_their_first_value_other_than_0(tmp_path):
    board = TensorBoard(tmp_path)
    for step, ringing in enumerate((0.0, 0.0, 1.0, 0.0)):
        board.scalars({"alarms/cycling": ringing, "health/failures": 0.0, "league/elo": 0.0}, step)
    board.close()
    assert read(tmp_path).Tags()["scalars"] == ["league/elo", "warnings/cycling"]
    assert curve(tmp_path, "warnings/cycling") == [(2, 1.0), (3, 0.0)]


def test_an_alarm_that_has_rung_goes_on_as_a_curve_after_a_resume(tmp_path):
    board = TensorBoard(tmp_path, 1, {"alarms/cycling": True, "alarms/inflation": False})
    board.scalars({"alarms/cycling": 0.0, "alarms/inflation": 0.0}, 1)
    board.close()
    assert read(tmp_path).Tags()["scalars"] == ["warnings/cycling"]


def test_some_metrics_are_in_progress_only_and_ends_of_intervals_have_a_group_of_their_own(tmp_path):
    board = TensorBoard(tmp_path)
    board.scalars({"iteration": 3, "seconds": 2.5, "evaluation/random/greedy/low": 0.25}, 1)
    board.close()
    assert read(tmp_path).Tags()["scalars"] == ["uncertainty/random/greedy/low"]


def test_curves_and_pictures_carry_their_sentence_once(tmp_path, caplog):
    board = TensorBoard(tmp_path)
    for step in (1, 2):
        board.scalars({"league/win_rate/oldest": 0.5}, step)
        board.image("league/payoff", np.zeros((2, 2, 3), np.uint8), step)
    board.close()
    for key in ("league/win_rate/oldest", "league/payoff"):
        assert read(tmp_path).SummaryMetadata(key).summary_description == find_metric(key).sentence
    assert not caplog.messages  # TensorBoard warns of summaries without a plugin
    [file] = tmp_path.iterdir()
    assert file.read_bytes().count(find_metric("league/payoff").sentence.encode()) == 1


def test_the_writer_needs_no_torch():
    code = "import marl_app.metrics.tensorboard, sys; assert not {'torch', 'tensorflow', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_text_is_a_card(tmp_path):
    board = TensorBoard(tmp_path)
    board.text("run/start", "| seed | 1 |", step=7)
    board.close()
    [event] = read(tmp_path).Tensors("run/start")
    assert (event.step, event.tensor_proto.string_val[0]) == (7, b"| seed | 1 |")


def layout(directory) -> dict[str, list[str]]:
    """Return {title: curves} of the newest layout of custom scalars; of a band its series, with their ends."""
    found = Layout.FromString(read(directory).Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    return {
        f"{category.title}: {chart.title}": list(chart.multiline.tag)
        or [f"{one.lower} < {one.value} < {one.upper}" for one in chart.margin.series]
        for category in found.category
        for chart in category.chart
    }


def test_the_layout_grows_with_the_curves_of_the_run(tmp_path):
    board = TensorBoard(tmp_path)
    board.scalars({"learner/entropy": 1.0}, 1)
    board.flush()
    assert "custom_scalars__config__" not in read(tmp_path).Tags()["tensors"]
    board.scalars({"league/elo": 1.0, "league/elo_pool_mean": 1.0, "league/win_rate/oldest": 1.0}, 2)
    board.scalars({f"evaluation/mcts_10/sampled/{name}": 0.5 for name in ("score", "low", "high")}, 3)
    board.scalars({"evaluation/value_preserving_moves": 0.5, "exploitability/agent": 0.5}, 4)
    board.close()
    ours, solved = "uncertainty/mcts_10/sampled", "uncertainty/value_preserving_moves"
    assert layout(tmp_path) == {
        "Strength: Elo: the main agent, and the mean of its pool": ["^league/elo$", "^league/elo_pool_mean$"],
        "Strength: Score against mcts_10, sampled and greedy actions": [
            f"{ours}/low < evaluation/mcts_10/sampled/score < {ours}/high"
        ],
        "Strength: Share of solved positions in which the move keeps the value": [
            f"{solved}/low < evaluation/value_preserving_moves < {solved}/high"
        ],
        "Robustness: Win rate of the main agent by age of the snapshot": ["^league/win_rate/oldest$"],
        "Robustness: Exploitability (0: no opponent can gain)": ["^exploitability/agent$"],
    }


def test_a_resumed_run_has_the_layout_of_all_its_curves(tmp_path):
    board = TensorBoard(tmp_path, 1, {"evaluation/team/greedy/agent_return": True})
    board.scalars({"learner/entropy": 1.0}, 1)
    board.close()
    ours = "uncertainty/team/greedy"
    assert layout(tmp_path) == {
        "Strength: Return per agent, sampled and greedy actions": [
            f"{ours}/low < evaluation/team/greedy/agent_return < {ours}/high"
        ]
    }


def test_a_resume_hides_points_after_its_checkpoint(tmp_path):
    board = TensorBoard(tmp_path)
    for step in (10, 20, 30, 40):
        board.scalars({"league/elo": step}, step)
    board.close()
    resumed = TensorBoard(tmp_path, purge_step=21)  # the checkpoint was made at 20 env steps
    resumed.scalars({"league/elo": 31}, step=31)
    resumed.close()
    assert curve(tmp_path, "league/elo") == [(10, 10.0), (20, 20.0), (31, 31.0)]


def test_an_image_keeps_its_pixels(tmp_path):
    import io

    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    board = TensorBoard(tmp_path)
    board.image("league/payoff", pixels, step=3)
    board.close()
    (event,) = read(tmp_path).Images("league/payoff")
    assert (event.step, event.height, event.width) == (3, 5, 7)
    assert np.array_equal(np.array(Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB")), pixels)


def test_hparams_are_in_the_run_itself_and_keep_their_types(tmp_path):
    board = TensorBoard(tmp_path)
    board.hparams({"algorithm.lr": 3e-4, "seed": 1, "pipeline": True, "stop.minutes": None, "model.hidden": [64, 64]})
    board.close()
    assert len(list(tmp_path.rglob("*"))) == 1  # no sub-directory
    assert metadata.EXPERIMENT_TAG not in read(tmp_path).Tags()["tensors"]
    content = read(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = metadata.parse_session_start_info_plugin_data(content).hparams
    assert {key: session[key].number_value for key in ("algorithm.lr", "seed")} == {"algorithm.lr": 3e-4, "seed": 1}
    assert session["pipeline"].string_value == "true"
    assert session["stop.minutes"].string_value == "null"
    assert session["model.hidden"].string_value == "[64, 64]"


def experiment_of(directory):
    """Return what the tab HParams requests from its backend: the hyperparameters and the metrics of all runs."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams.backend_context import Context

    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(directory))
    multiplexer.Reload()
    backend = Context(TBContext(data_provider=data_provider.MultiplexerDataProvider(multiplexer, str(directory))))
    request = RequestContext()
    return backend.experiment_from_metadata(
        request, "", True, backend.hparams_metadata(request, ""), backend.hparams_from_data_provider(request, "", 100)
    )


def test_the_hparams_tab_compares_runs_that_have_different_keys(tmp_path):
    for rule, extra in (("uniform", {}), ("pfsp", {"matchmaker.weighting": "squared"})):
        board = TensorBoard(tmp_path / rule / "tb")
        board.hparams({"matchmaker.rule": rule, "seed": 1, **extra})
        board.scalars({"league/elo": 1.0}, step=5)
        board.close()
    experiment = experiment_of(tmp_path)
    assert {info.name: info.differs for info in experiment.hparam_infos} == {
        "matchmaker.rule": True,
        "seed": False,
        "matchmaker.weighting": False,
    }
    assert "league/elo" in {info.name.tag for info in experiment.metric_infos}


def test_the_hparams_tab_begins_with_what_was_chosen_and_has_four_metrics(tmp_path):
    board = TensorBoard(tmp_path / "tb")
    metrics = compared_metrics(team=False, anchor="mcts_10")
    board.hparams({"algorithm.lr": 1e-3, "league/matchmaker": "pfsp", "seed": 1}, metrics, {"seed"})
    board.scalars({"league/elo": 1.0, "learner/entropy": 1.0}, step=5)
    board.close()
    experiment = experiment_of(tmp_path)
    assert [info.name for info in experiment.hparam_infos] == ["seed", "algorithm.lr", "league/matchmaker"]
    assert [info.name.tag for info in experiment.metric_infos] == [
        "evaluation/mcts_10/sampled/score",
        "exploitability/agent",
        "league/elo",
        "steps/env_steps",
    ]
    for key in (*metrics, *compared_metrics(team=True, anchor=None), *compared_metrics(team=False, anchor=None)):
        check_key(key)


def test_runs_are_compared_by_options_and_without_paths():
    config = {
        "seed": 1,
        "output_dir": "/home/me/runs/1",
        "run": None,
        "env._target_": "marl_app.envs.circle.Circle",
        "env.name": "pettingzoo.classic.tictactoe_v3",
        "league.guests.old": "/home/me/runs/0:main",
        "store.url": "s3://bucket",
        "callbacks.metrics.every_seconds": 1,
    }
    assert compared_values(config, {"league/matchmaker": "pfsp"}) == {
        "league/matchmaker": "pfsp",
        "seed": 1,
        "env.name": "pettingzoo.classic.tictactoe_v3",
    }

"""The TensorBoard writer, read back with TensorBoard's readers."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

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
    assert curve(tmp_path, "health/nonfinite") == [(1, 2.0), (2, 2.0)]
    assert curve(tmp_path, "learner/vf_loss") == [(2, 0.5)]


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
    content = read(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = metadata.parse_session_start_info_plugin_data(content).hparams
    assert {key: session[key].number_value for key in ("algorithm.lr", "seed")} == {"algorithm.lr": 3e-4, "seed": 1}
    assert session["pipeline"].string_value == "true"
    assert session["stop.minutes"].string_value == "null"
    assert session["model.hidden"].string_value == "[64, 64]"


def test_the_hparams_tab_compares_runs_that_have_different_keys(tmp_path):
    """The tab requests from its backend the hyperparameters of both runs and, as metrics, their curves."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams.backend_context import Context

    for rule, extra in (("uniform", {}), ("pfsp", {"matchmaker.weighting": "squared"})):
        board = TensorBoard(tmp_path / rule / "tb")
        board.hparams({"matchmaker.rule": rule, "seed": 1, **extra})
        board.scalars({"league/elo": 1.0}, step=5)
        board.close()
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    backend = Context(TBContext(data_provider=data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))))
    request = RequestContext()
    experiment = backend.experiment_from_metadata(
        request, "", True, backend.hparams_metadata(request, ""), backend.hparams_from_data_provider(request, "", 100)
    )
    assert {info.name: info.differs for info in experiment.hparam_infos} == {
        "matchmaker.rule": True,
        "seed": False,
        "matchmaker.weighting": False,
    }
    assert "league/elo" in {info.name.tag for info in experiment.metric_infos}

"""Records: pandas reads them in one line; a resume drops rows after the checkpoint; a crash leaves no torn file."""

import numpy as np
import pandas as pd
import pytest

from marl_app.metrics.records import COLUMNS, Records


def rows(count: int = 2) -> dict[str, object]:
    return {
        "learner": ["main"] * count,
        "opponent": [f"main@{i:04d}" for i in range(count)],
        "rule": ["pfsp"] * count,
        "side": np.arange(count) % 2,
        "wins": np.full(count, 3),
        "draws": np.full(count, 1),
        "losses": np.full(count, 2),
        "scores": np.full(count, 3.5),
        "steps": np.full(count, 120),
        "win_rate": np.full(count, 0.5),
        "probability": np.full(count, 0.25),
    }


def test_matches_are_read_back_in_one_line_from_one_part_per_flush(tmp_path):
    records = Records(tmp_path)
    for iteration in (1, 2, 3):
        records.add_matches(iteration, rows())
    records.flush()
    records.add_matches(4, rows(5))
    records.flush()
    records.flush()  # nothing new: no part
    assert sorted(path.name for path in (tmp_path / "matches").iterdir()) == [
        "part-000000.parquet",
        "part-000001.parquet",
    ]
    table = pd.read_parquet(tmp_path / "matches")
    assert list(table.columns) == [name for name, _, _ in COLUMNS]
    assert table["iteration"].tolist() == [1, 1, 2, 2, 3, 3] + [4] * 5
    assert table["opponent"].tolist()[:2] == ["main@0000", "main@0001"]
    assert (table[["wins", "draws", "losses", "steps"]] == [3, 1, 2, 120]).all().all()


def test_a_run_without_matches_can_be_read_too(tmp_path):
    Records(tmp_path).flush()
    assert len(pd.read_parquet(tmp_path / "matches")) == 0


def test_a_full_buffer_becomes_a_part_by_itself(tmp_path):
    records = Records(tmp_path, buffer_rows=4)
    records.add_matches(1, rows(2))
    assert not list((tmp_path / "matches").iterdir())
    records.add_matches(2, rows(2))
    assert len(pd.read_parquet(tmp_path / "matches")) == 4


def test_truncate_drops_later_rows_and_parts_and_numbering_continues(tmp_path):
    records = Records(tmp_path)
    for iterations in ((1, 2), (3, 4), (5, 6)):
        for iteration in iterations:
            records.add_matches(iteration, rows())
            records.append_progress({"iteration": iteration, "league/elo": 1000.0 + iteration})
        records.flush()
    records.add_matches(7, rows())  # buffered only
    resumed = Records(tmp_path)
    resumed.truncate(3)  # in the middle of the second part; the third part is deleted
    assert pd.read_parquet(tmp_path / "matches")["iteration"].tolist() == [1, 1, 2, 2, 3, 3]
    assert pd.read_json(tmp_path / "progress.jsonl", lines=True)["iteration"].tolist() == [1, 2, 3]
    resumed.add_matches(4, rows())
    resumed.append_progress({"iteration": 4})
    resumed.flush()
    assert pd.read_parquet(tmp_path / "matches")["iteration"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert pd.read_json(tmp_path / "progress.jsonl", lines=True)["iteration"].tolist() == [1, 2, 3, 4]


def test_the_meta_strategy_over_time_is_cut_back_with_the_progress(tmp_path):
    records = Records(tmp_path)
    for iteration in (2, 4):
        records.append_meta_strategy(iteration, 100 * iteration, None, {"main@0000": 1.0})
    records.truncate(3)
    records.append_meta_strategy(5, 500, 1, {"main@0000": 0.25, "main@0001": 0.75})
    table = pd.read_json(tmp_path / "meta_strategy.jsonl", lines=True)
    assert table["iteration"].tolist() == [2, 5] and table["steps/env_steps"].tolist() == [200, 500]
    assert table["probabilities"][1] == {"main@0000": 0.25, "main@0001": 0.75} and table["side"][1] == 1


@pytest.mark.parametrize("torn", ['{"iteration": 2, "league/e', '{"iteration": 2}'], ids=["no_json", "no_newline"])
def test_truncate_drops_a_torn_last_line(tmp_path, torn):
    records = Records(tmp_path)
    records.append_progress({"iteration": 1})
    path = tmp_path / "progress.jsonl"
    with path.open("a") as file:
        file.write(torn)  # the process was killed while it wrote
    records.truncate(10)
    assert path.read_text() == '{"iteration": 1}\n'


def test_truncate_before_the_first_record_does_nothing(tmp_path):
    Records(tmp_path).truncate(0)


def test_a_part_that_a_crash_left_unfinished_is_not_read(tmp_path):
    records = Records(tmp_path)
    records.add_matches(1, rows())
    records.flush()
    (tmp_path / "matches" / ".part-000001.parquet.tmp").write_bytes(b"PAR1 torn")
    assert len(pd.read_parquet(tmp_path / "matches")) == 2


def test_nan_becomes_null_and_numpy_numbers_are_written(tmp_path):
    Records(tmp_path).append_progress(
        {"iteration": np.int64(1), "league/elo": float("nan"), "matches/length": np.float32(20.5)}
    )
    assert (tmp_path / "progress.jsonl").read_text() == '{"iteration": 1, "league/elo": null, "matches/length": 20.5}\n'


@pytest.mark.parametrize("change", [{"wins": None}, {"winz": [1, 1]}], ids=["missing", "unknown"])
def test_wrong_columns_are_an_error(tmp_path, change):
    wrong = {key: value for key, value in (rows() | change).items() if value is not None}
    with pytest.raises(ValueError, match="match rows need the columns"):
        Records(tmp_path).add_matches(1, wrong)


def test_columns_of_different_lengths_are_an_error(tmp_path):
    with pytest.raises(ValueError):
        Records(tmp_path).add_matches(1, rows() | {"wins": [1, 2, 3]})


def test_undocumented_keys_and_a_missing_iteration_are_errors(tmp_path):
    records = Records(tmp_path)
    with pytest.raises(KeyError, match="made/up"):
        records.append_progress({"iteration": 1, "made/up": 1.0})
    with pytest.raises(KeyError, match="iteration"):
        records.append_progress({"league/elo": 1.0})
    assert not (tmp_path / "progress.jsonl").exists()


def test_a_day_of_records_stays_small(tmp_path):
    """200 opponents, both sides, every iteration: 400 rows. A day of 2 s iterations is 43,200 of those."""
    rng = np.random.default_rng(0)
    records = Records(tmp_path)
    for iteration in range(100):
        wins = rng.integers(0, 12, 400)
        records.add_matches(
            iteration,
            rows(400)
            | {"wins": wins, "losses": rng.integers(0, 6, 400), "steps": wins * 20 + rng.integers(0, 40, 400)}
            | {"win_rate": rng.random(400), "probability": rng.random(400)},
        )
    records.flush()
    bytes_per_row = sum(path.stat().st_size for path in (tmp_path / "matches").iterdir()) / 40_000
    assert bytes_per_row < 16  # 8 of them are the two random floats, which no compression shrinks

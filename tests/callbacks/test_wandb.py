"""TrackWithWandb: an offline run and its resume, read back from their files.

The file is a log of protocol buffers in the format of LevelDB, with which `wandb sync` uploads it.
"""

import json

import pytest

from marl_app.config.errors import ConfigError
from tests.rllib.runs import killed_and_resumed, running

pytest.importorskip("wandb.proto")
pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.filterwarnings("ignore:::wandb")]

RUN = ("env=rock_paper_scissors", "callbacks=[league,metrics,wandb]", "callbacks.wandb.every_seconds=0")
BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(file):
    """Yield the records of a .wandb file: 7 bytes, then blocks of parts with a header (checksum, length, kind)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = file.read_bytes(), HEADER, b""
    assert data.startswith(b":W&B")
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # no room for a header: zeros
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part = data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        record = part if kind in (FULL, FIRST) else record + part
        if kind in (FULL, LAST):
            yield Record.FromString(record)


def items(entries):
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in entries}


def test_a_run_and_its_resume_are_one_offline_run(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)

    def killed(algorithm):
        [tracker] = [callback for callback in algorithm.callbacks if type(callback).__name__ == "TrackWithWandb"]
        tracker._run.finish(exit_code=255)  # what wandb does when a process dies with an exception

    *_, elo = killed_and_resumed(tmp_path, *RUN, when_killed=killed)
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime)
    found = [list(records(file)) for file in files]
    assert len(found) == 2
    runs = [record.run for part in found for record in part if record.WhichOneof("record_type") == "run"]
    assert {run.run_id for run in runs} == {json.loads((tmp_path / "wandb.json").read_text())["id"]}
    assert {(run.project, run.display_name) for run in runs} == {("marl_app", f"league {tmp_path.name}")}
    assert "marl app" in runs[0].notes
    assert items(runs[0].config.update)["algorithm.minibatch_size"] == 128
    history = [
        items(record.history.item) for part in found for record in part if record.WhichOneof("record_type") == "history"
    ]
    points = [(point["steps/env_steps"], point["league/elo"]) for point in history if "league/elo" in point]
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps)) and steps[-2:] == [2048, 2560]  # 1536 and 2048 were played twice, and sent once
    assert points[-1][1] == pytest.approx(elo)
    [picture, *_] = [point for point in history if "league/payoff/path" in point]
    assert (files[1].parent / "files" / picture["league/payoff/path"]).is_file()
    summary = [items(record.summary.update) for record in found[1] if record.WhichOneof("record_type") == "summary"]
    merged = {key: value for part in summary for key, value in part.items()}
    assert merged["summary/status"] == "finished" and merged["summary/env_steps"] == 2560
    [end] = [record.exit.exit_code for record in found[1] if record.WhichOneof("record_type") == "exit"]
    assert end == 0


def test_an_unknown_mode_is_refused(tmp_path):
    with (
        pytest.raises(ConfigError, match="callbacks.wandb.mode=cloud: give one of online"),
        running(tmp_path, *RUN, "callbacks.wandb.mode=cloud"),
    ):
        pass

"""`task=pack`: a player as one file, which is the player to the bit, and which is refused when a byte of it changes."""

import json
import sys
import zipfile

import numpy as np
import pytest

import marl_app
from marl_app.assembly.guests import guests
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.envs.matrix_game import MatrixGame
from marl_app.evaluation.contestants import player_bytes
from marl_app.run import run as run_task
from marl_app.runs import packed
from marl_app.runs.load import load_bytes
from marl_app.runs.packed import CARD, FACTS, MANIFEST, PLAYER, PackedPlayer, read_packed, write_packed
from marl_app.store.codec import decode, encode
from marl_app.store.disk import DiskStore
from marl_app.store.store import digest_of
from tests.evaluation.runs import PAPER, ROCK, RPS, always, write_run


def pack(run, folder, *overrides):
    """Pack the newest main, without matches unless `overrides` say so."""
    given = ["task=pack", f"run={run}", "task.anchors=[]", *overrides]
    return run_task(load(given, output_dir=str(folder)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of rock, paper, scissors whose main@0000 plays rock and whose main plays paper."""
    return write_run(tmp_path_factory.mktemp("run") / "one", pool=(ROCK,), learner=PAPER)


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    pack(run, folder)
    return folder / "agent.marl"


def test_a_packed_player_is_the_player_to_the_bit(run, file, tmp_path):
    assert load_bytes(file) == load_bytes(run) == read_packed(file).player
    agent = marl_app.load_agent(file)
    assert agent.probabilities(np.zeros((1, *agent.spaces_of(0)[0].shape)))[0].argmax() == PAPER
    pack(run, tmp_path)
    assert (tmp_path / "agent.marl").read_bytes() == file.read_bytes()  # no time, no random order
    with pytest.raises(KeyError, match="has no player 'main@0000'; it is main"):
        marl_app.load_agent(file, "main@0000")


def test_a_snapshot_keeps_its_digest_and_the_card_says_what_it_is(run, tmp_path, capsys):
    name = tmp_path / "a, b" / "rock.marl"
    pack(run, tmp_path, "task.player=main@0000", f"task.file='{name}'", "task.anchors=[random]", "task.games=300")
    content = read_packed(name)
    assert DiskStore(run / "snapshots").list().keys() == {digest_of(content.player)}
    assert content.facts["digest"] == digest_of(content.player)
    assert f"SHA-256: {digest_of(name.read_bytes())}" in capsys.readouterr().out
    # Rock against random play wins, loses and draws with a third each: 0.5, with 300 matches within 0.1.
    (row,) = content.facts["evaluation"]
    assert row["opponent"] == "random" and abs(row["score"] - 0.5) < 0.1 and row["low"] < 0.5 < row["high"]
    for text in (
        "# main of MatrixGame",
        "marl_app.envs.matrix_game.MatrixGame",
        "Discrete(3)",
        "| random | 0.",
        'marl_app.load_agent("rock.marl")',
        digest_of(content.player),
        f"marl_app {marl_app.__version__}",
    ):
        assert text in content.card
    with zipfile.ZipFile(name) as archive:  # any program for zip archives shows the card
        assert archive.read("card.md").decode() == content.card


def test_a_packed_player_is_a_guest_and_plays_in_an_evaluation(run, file, tmp_path):
    env, store = MatrixGame(1, RPS), DiskStore(tmp_path / "store")
    config = load(["+experiment=league", "env=rock_paper_scissors", f"+league.guests.old={file}"], str(tmp_path))
    (guest,) = guests(config, env, store)
    assert guest.digest == digest_of(load_bytes(run)) and store.get(guest.digest) == load_bytes(run)
    assert player_bytes(env, str(file), store) == load_bytes(run)
    given = ["task=evaluate", f"run={run}", f"task.players=[main@0000,{file}]", "task.anchors=[]", "task.games=16"]
    run_task(load(given, output_dir=str(tmp_path)))
    played = json.loads((tmp_path / "cross_play.json").read_text())["players"]
    # Paper beats rock in every match.
    assert {row["player"]: row["score"] for row in played} == {"main@0000": 0.0, "agent.marl": 1.0}


def rewritten(file, target, change, compression=zipfile.ZIP_STORED):
    """Write `file` to `target` with its entries changed by `change(entries)`."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries.update({PLAYER: always(ROCK)}), f"{PLAYER} does not have the digest"),
        (lambda entries: entries.update({CARD: b"# main, much stronger"}), f"{CARD} does not have the digest"),
        (lambda entries: entries.update({FACTS: b"{}"}), f"{FACTS} does not have the digest"),
        (lambda entries: entries.update({MANIFEST: b"[]"}), "damaged, or not a packed player"),
        (lambda entries: entries.update({MANIFEST: b"[" * 100_000}), "damaged, or not a packed player"),
        (lambda entries: entries.update({"../evil.py": b""}), "its entries are not"),
        (lambda entries: entries.pop(CARD), "its entries are not"),
        (lambda entries: entries.update({CARD: b" " * 2_000_000}), "compressed or too large"),
    ],
)
def test_a_changed_file_is_refused_in_one_line(file, tmp_path, change, message):
    changed = rewritten(file, tmp_path / "agent.marl", change)
    with pytest.raises(ValueError, match=message) as raised:
        marl_app.load_agent(changed)
    assert "\n" not in str(raised.value)


def test_what_is_not_such_a_file_is_refused(file, tmp_path, monkeypatch):
    path, data = tmp_path / "agent.marl", file.read_bytes()
    for damaged in (b"", data[:-1], data[: len(data) // 2], data[:100] + bytes([data[100] ^ 1]) + data[101:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged, or not a packed player"):
            read_packed(path)
    with pytest.raises(ValueError, match="compressed or too large"):
        read_packed(rewritten(file, path, lambda entries: None, zipfile.ZIP_DEFLATED))
    path.unlink()
    path.symlink_to(file)
    with pytest.raises(ValueError, match="not a regular file"):
        read_packed(path)
    with pytest.raises(FileNotFoundError, match=r"none\.marl does not exist"):
        marl_app.load_agent(tmp_path / "none.marl")
    monkeypatch.setattr(packed, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000 bytes"):
        read_packed(file)
    with pytest.raises(ValueError, match="too large"):
        write_packed(path, PackedPlayer(bytes(2000), {}, ""))


def test_a_file_may_name_a_class_but_not_import_it(tmp_path, monkeypatch):
    (tmp_path / "their_network.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'called')!r}).touch()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    weights, metadata = decode(always(ROCK))
    data = encode(weights, metadata | {"module_class": "their_network.Network"})
    file = tmp_path / "agent.marl"
    write_packed(file, PackedPlayer(data, {}, ""))
    with pytest.raises(ValueError, match=r"their_network\.Network, which is not imported"):
        marl_app.load_agent(file)
    assert not (tmp_path / "called").exists() and "their_network" not in sys.modules
    with pytest.raises(ValueError, match="is not imported|is not a class"):  # and has no such class
        marl_app.load_agent(file, trust=True)
    assert (tmp_path / "called").exists()


def test_errors_name_the_key(run, tmp_path):
    for override, message in (
        ("task.player=main@0009", "task.player: .*has no player 'main@0009'"),
        ("task.file=agent.zip", r"task.file=agent\.zip is not allowed"),
        ("task.games=1", "task.games=1 is not allowed"),
        ("task.anchors=random", "task.anchors=random is not a list"),
    ):
        with pytest.raises(ConfigError, match=message):
            pack(run, tmp_path, override)
    league = ["+experiment=league", "env=rock_paper_scissors"]
    broken = tmp_path / "broken.marl"
    broken.write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"league\.guests\.old: .*broken\.marl is damaged, or not a packed player"):
        config = load([*league, f"+league.guests.old={broken}"], str(tmp_path))
        guests(config, MatrixGame(1, RPS), DiskStore(tmp_path / "store"))

"""The page's server over HTTP: what it answers, and what it refuses."""

import http.client
import io
import json
import socket
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from matplotlib.image import imread

from marl_app.envs.simple_tag import SimpleTag
from marl_app.playing.session import Session
from marl_app.playing.web import HOST, make_play_server
from marl_app.runs.members import Members
from tests.evaluation.runs import preferring, write_run_in
from tests.playing.runs import session, tic_tac_toe_run


@contextmanager
def serving(playing, title="run"):
    server = make_play_server(playing, title, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tic_tac_toe_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def port(run):
    with serving(session(run)) as port:
        yield port


def send(port, method, path, body=None, **headers):
    """Return status, headers and content of a response."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def post(port, path, content, **headers):
    """Return status and JSON of an action, sent as the page sends it but for the given headers."""
    headers = {"Origin": f"http://{HOST}:{port}", "Content-Type": "application/json", **headers}
    status, _, answer = send(port, "POST", path, json.dumps(content), **headers)
    return status, json.loads(answer)


def state(port):
    return json.loads(send(port, "GET", "/state")[2])


def test_no_thread_is_left_when_the_server_is_closed(run):
    # A thread that is in torch when the process ends would abort it. One waits for a request that never comes.
    before = set(threading.enumerate())
    with serving(session(run)) as port:
        silent = socket.create_connection((HOST, port))
        state(port)
    assert set(threading.enumerate()) <= before
    silent.close()


def test_a_match(port):
    before = state(port)
    assert before["waiting"] == "player_1" and before["legal"][0] == "a1" and not before["can_undo"]
    assert before["view"]["cells"][2][1] == {"owner": None, "symbol": "", "is_new": False, "move": "b3"}
    for move in ("b1", "b2"):
        status, after = post(port, "/move", {"move": move})
        assert status == 200
    assert after["moves"][-2:] == [
        {"agent": "player_1", "who": "you", "name": "b2"}, {"agent": "player_2", "who": "main", "name": "a2"},
    ]  # fmt: skip
    marks = {(cell["symbol"], cell["is_new"], cell["move"]) for row in after["view"]["cells"] for cell in row}
    # The pieces of the last two moves are new, those of before are not; no move goes to a cell that is taken.
    assert {("X", True, None), ("X", False, None), ("O", True, None), ("O", False, None)} <= marks
    status, after = post(port, "/move", {"move": "b3"})
    assert (
        after["result"] == "You won. Returns: player_1 +1, player_2 -1" and after["legal"] is after["waiting"] is None
    )
    assert {cell["move"] for row in after["view"]["cells"] for cell in row} == {None}
    assert post(port, "/undo", {})[1]["result"] is None
    status, after = post(port, "/new", {"player": "main@0000", "side": "player_2"})
    assert (after["player"], after["side"], after["match"]) == ("main@0000", "player_2", 2)
    assert after == state(port)


def test_advice(port):
    advice = json.loads(send(port, "GET", "/advice")[2])
    assert advice["probabilities"][0] == ["a1", pytest.approx(0.632, abs=1e-3)] and advice["value"] == 0.25


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/move", {"move": "z9"}, "'z9' is not a legal move"),
        ("/move", {"move": 3}, "give 'move' as a text"),
        ("/move", {}, "give 'move' as a text"),
        ("/undo", {}, "there is no move to take back"),
        ("/new", {"player": "main@0009"}, "has no player 'main@0009'"),
        ("/new", {"side": "player_9"}, "there is no side 'player_9'"),
    ],
)
def test_what_is_not_possible_is_answered_and_changes_nothing(port, path, content, message):
    before = state(port)
    status, answer = post(port, path, content)
    assert status == 409 and message in answer["error"]
    assert state(port) == before


def test_the_page_loads_nothing_from_elsewhere(port):
    status, headers, page = send(port, "GET", "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
    for path in ("/page.css", "/page.js"):
        status, _, content = send(port, "GET", path)
        assert status == 200 and b"http://" not in content and b"https://" not in content and b"@import" not in content
    assert b"http" not in page


def test_other_hosts_are_refused(port):
    # A page of another site whose name was rebound to this machine sends its own host.
    for host in ("evil.example", f"evil.example:{port}", HOST, f"{HOST}:1", ""):
        assert send(port, "GET", "/state", Host=host)[0] == 400
        assert post(port, "/undo", {}, Host=host)[0] == 400
    assert send(port, "GET", "/state", Host=f"localhost:{port}")[0] == 200


def test_actions_of_other_pages_are_refused(port):
    body = json.dumps({"move": "a1"})
    for origin in ("http://evil.example", "null", f"http://{HOST}:{port + 1}", f"https://{HOST}:{port}"):
        assert post(port, "/move", {"move": "a1"}, Origin=origin)[0] == 400
    assert send(port, "POST", "/move", body, Content_Type="application/json")[0] == 400  # without an origin
    # A form of another page can be sent without asking first, but not as JSON.
    own = {"Origin": f"http://{HOST}:{port}"}
    assert send(port, "POST", "/move", body, Content_Type="text/plain", **own)[0] == 400
    assert send(port, "POST", "/move", "[1]", Content_Type="application/json", **own)[0] == 400
    assert send(port, "POST", "/move", "{", Content_Type="application/json", **own)[0] == 400
    long = json.dumps({"move": "a" * 20_000})
    assert send(port, "POST", "/move", long, Content_Type="application/json", **own)[0] == 413
    assert send(port, "POST", "/other", body, Content_Type="application/json", **own)[0] == 404
    assert send(port, "PUT", "/move", body, **own)[0] == 405
    for path in ("/../web.py", "/web.py", "/page.py", "/picture.png"):  # a board is no picture
        assert send(port, "GET", path)[0] == 404
    assert state(port)["moves"] == []


def test_only_the_loopback_address_listens(run):
    server = make_play_server(session(run), "run", 0)
    assert server.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError):
        make_play_server(session(run), "run", server.port)  # taken
    server.server_close()


def test_pictures(tmp_path):
    env = SimpleTag(1, num_adversaries=1, max_cycles=2)
    player = preferring(env, [0.0, 100.0, 0.0, 0.0, 0.0])
    run = write_run_in(tmp_path / "run", env, ["env=simple_tag"], [], player)
    playing = Session(env, Members(run), None, 0, 0, greedy=True)
    with serving(playing) as port:
        first = state(port)["view"]
        assert first["kind"] == "picture"
        pixels = imread(io.BytesIO(send(port, "GET", first["url"])[2]))
        assert np.array_equal(np.round(pixels * 255).astype(np.uint8), env.render(0, 0))
        after = post(port, "/move", {"move": "left"})[1]["view"]
        assert after["url"] != first["url"]  # a browser loads the new picture

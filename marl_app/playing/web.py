"""A session as a page on this machine: GET / is the page, GET /state what it shows, POST /<action> what a person does.

Served by Werkzeug, which TensorBoard brings and serves with, too: small, well kept, and it checks hosts. Nothing is
pushed to the page: the players answer within the request of a move, so neither a websocket nor an asynchronous server
is needed, and the page, its style and its script are three files without anything from elsewhere.

The server listens on the loopback address only. A page of another site can still make a browser send requests here. So
every request must name this machine as its host, which a rebound DNS name does not; an action must come from this page
(Origin) and be JSON, and the page may load nothing from elsewhere (Content-Security-Policy).
"""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound, SecurityError
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from marl_app.envs.board import NO_PIECE, Board, Rendering, symbol
from marl_app.playing.session import Session

HOST = "127.0.0.1"
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_MOST_BYTES = 10_000  # of a request
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)


class PlayServer:
    """The WSGI application. One person plays: all tabs show the same session. `port`: of the server in front of it."""

    def __init__(self, session: Session, title: str) -> None:
        self._session, self._title = session, title
        # Requests are served by several threads, and the session is not safe for them.
        self._lock = threading.Lock()
        self._version = 0  # of the state, so that the page can tell a new picture
        self._before: Rendering | None = None
        self._now = session.match.rendering()
        self.port = 0
        self._actions: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "/move": lambda given: session.move(_text(given, "move")),
            "/undo": lambda given: session.undo(),
            "/new": lambda given: session.new_match(given.get("player"), given.get("side")),
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        request.max_content_length = _MOST_BYTES
        try:
            response = self._answer(request)
        except HTTPException as error:
            response = _json({"error": error.description or error.name}, error.code or 500)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        """Answer a request. Raises HTTPException."""
        # 1. Refuse requests that do not name this server, and actions that do not come from its page.
        hosts = [f"{name}:{self.port}" for name in (HOST, "localhost")]
        if request.headers.get("Host") not in hosts:
            raise SecurityError(f"this page is for {HOST}:{self.port} only")
        path = request.path
        if request.method == "POST":
            if request.headers.get("Origin") not in [f"http://{host}" for host in hosts]:
                raise SecurityError("this request does not come from the page")
            return self._act(path, request)
        if request.method != "GET":
            raise MethodNotAllowed(["GET", "POST"])
        # 2. The files of the page, which need no lock.
        if path in _FILES:
            name, kind = _FILES[path]
            return Response(Path(__file__).with_name(name).read_bytes(), content_type=f"{kind}; charset=utf-8")
        # 3. What depends on the session.
        with self._lock:
            if path == "/state":
                return _json(self._state())
            if path == "/advice":
                return self._advice()
            if path == "/picture.png" and isinstance(self._now, np.ndarray):
                return Response(_png(self._now), content_type="image/png")
        raise NotFound()

    def _act(self, path: str, request: Request) -> Response:
        """Carry out an action of the person and return the new state; 409, with the reason, if it is not possible."""
        action = self._actions.get(path)
        if action is None:
            raise NotFound()
        if request.mimetype != "application/json":
            raise BadRequest("give JSON")
        given = request.get_json()
        if not isinstance(given, dict):
            raise BadRequest("give a JSON object")
        with self._lock:
            try:
                action(given)
            except (ValueError, LookupError) as error:
                return _json({"error": str(error)}, 409)
            # The new version is part of the picture's address, so that the browser loads the new picture.
            self._version += 1
            is_next = path == "/move"  # only then the pieces that are new are those of the last moves
            self._before, self._now = self._now if is_next else None, self._session.match.rendering()
            return _json(self._state())

    def _advice(self) -> Response:
        try:
            advice = self._session.advice()
            # Pairs, because a browser orders the keys of an object that are numbers.
            likely = None if advice.probabilities is None else list(advice.probabilities.items())
            return _json({**advice._asdict(), "probabilities": likely})
        except ValueError as error:
            return _json({"error": str(error)}, 409)

    def _state(self) -> dict[str, Any]:
        """Return what the page shows, as JSON types."""
        session, agents = self._session, self._session.env.agents
        legal = session.legal()
        return {
            "title": self._title,
            "version": self._version,
            "match": session.number + 1,
            "seats": session.seat_words(),
            "view": _view(self._now, self._before, self._version, _names(session)),
            "waiting": None if session.waiting is None else agents[session.waiting],
            "legal": legal,
            "numbers": session.describe_numbers() if legal is None and session.waiting is not None else None,
            "moves": [
                {"agent": move.agent, "who": session.names[agents.index(move.agent)], "name": move.name}
                for move in session.match.moves[-200:]
            ],
            "result": session.result(),
            "can_undo": session.can_undo,
            "players": list(dict.fromkeys([session.player or session.players[0], *session.players])),
            "player": session.player or session.players[0],
            "sides": session.sides,
            "side": agents[session.match.people[0]],
        }


def serve(session: Session, title: str, port: int) -> None:
    """Serve the page until Ctrl-C. Raises OSError if the port is taken."""
    server = make_play_server(session, title, port)
    print(f"play at http://{HOST}:{server.port}  (Ctrl-C ends)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("", flush=True)
    finally:
        server.server_close()


def make_play_server(session: Session, title: str, port: int) -> ThreadedWSGIServer:
    """Return a server of the session on the loopback address; port 0 = any that is free.

    Raises OSError if the port is taken.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = PlayServer(session, title)
    # Bound here, because Werkzeug exits where the port is taken. The server works on a duplicate of the socket.
    with socket.create_server((HOST, port)) as bound:
        app.port = bound.getsockname()[1]
        server = make_server(HOST, app.port, app, threaded=True, request_handler=_Handler, fd=bound.fileno())
    assert isinstance(server, ThreadedWSGIServer)
    # `server_close` waits for the threads of requests then. The end of the process would stop daemon threads wherever
    # they are, and abort if that is in torch.
    server.daemon_threads = False
    return server


class _Handler(WSGIRequestHandler):
    """Werkzeug's handler, without a line per request.

    timeout: seconds after which a connection without a request is closed. Browsers open some ahead.
    """

    timeout = 2

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _names(session: Session) -> dict[int, str]:
    """Return action -> name of the legal moves, for boards."""
    if session.waiting is None:
        return {}
    names = session.match.legal_names(session.waiting) or {}
    return {action: name for name, action in names.items()}


def _view(view: Rendering, before: Rendering | None, version: int, names: Mapping[int, str]) -> dict[str, Any]:
    """Return a view as JSON types."""
    if isinstance(view, str):
        return {"kind": "text", "text": view}
    if not isinstance(view, Board):
        return {"kind": "picture", "url": f"/picture.png?{version}"}
    # A board that is shown for the first time, or in another size, has no new pieces.
    old = before.pieces if isinstance(before, Board) and before.pieces.shape == view.pieces.shape else view.pieces
    cells = [
        [
            {
                "owner": None if owner == NO_PIECE else owner,
                "symbol": "" if owner == NO_PIECE else symbol(owner),
                "is_new": owner not in (NO_PIECE, was),
                "move": names.get(action),
            }
            for owner, was, action in zip(*rows, strict=True)
        ]
        for rows in zip(view.pieces.tolist(), old.tolist(), view.actions.tolist(), strict=True)
    ]
    return {"kind": "board", "cells": cells, "columns": view.column_labels, "rows": view.row_labels}


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str):
        raise ValueError(f"give {key!r} as a text")
    return value


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")

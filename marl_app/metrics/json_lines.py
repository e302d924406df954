"""A file of JSON lines, one per point, that survives a full disk and is cut back when a run resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from marl_app.durable import replacing, sync_file, sync_folder
from marl_app.metrics.json import to_json


class JsonLines:
    """The file `path`. Every line is an object with the key `iteration`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[str] = []  # lines that could not be written yet, for lack of disk space

    def append(self, values: Mapping[str, Any]) -> None:
        """Append a line; NaN becomes null. Raises OSError if it cannot be written; the next line retries it."""
        self._pending.append(to_json(values) + "\n")
        self._write_pending()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines on disk."""
        if self._path.exists():
            with self._path.open(encoding="utf-8") as file:
                yield from map(json.loads, file)

    def flush(self) -> None:
        """Make all lines durable. Raises OSError if some cannot be written."""
        if self._pending:
            self._write_pending()
        if self._path.exists():
            sync_file(self._path)
            sync_folder(self._path.parent)

    def truncate(self, iteration: int) -> None:
        """Drop all lines after `iteration`, at which a run resumes, and a torn last line."""
        self._pending.clear()
        # The file is rewritten under another name, because a crash in between must not lose the lines that stay.
        if self._path.exists():
            with self._path.open(encoding="utf-8") as old, replacing(self._path) as new:
                kept = (line for line in old if line.endswith("\n") and _iteration(line) <= iteration)
                new.write_text("".join(kept), encoding="utf-8")

    def _write_pending(self) -> None:
        """Append all pending lines, or none if an OSError is raised."""
        # The size to which the file is cut back if only a part of the lines can be written.
        before = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(self._pending)
        except OSError:
            os.truncate(self._path, before)  # remove a torn line: the next line would continue it
            raise
        self._pending.clear()


def _iteration(line: str) -> float:
    """Return the iteration of a line; infinity for a line that is not valid JSON, so that it is dropped."""
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return float("inf")

"""Standard output and error that outlast their reader: a closed pipe or a full disk must not end a run."""

from __future__ import annotations

import os
from typing import Any, TextIO


class LastingStream:
    """A text stream whose writes never raise OSError: after the first one, output goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if there is still a reader. Return the number of characters, as files do."""
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Flush, if there is still a reader."""
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Point the file descriptor to nowhere, so that Python's flush at its end and Ray's output do not fail."""
        # The descriptor itself is replaced, because other code writes to it without this object.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

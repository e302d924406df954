"""What a section of the page consists of. A block's `kind` names the macro that writes it (page.html.jinja)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


# Raised while a section is made; `sections.py` turns it into the sentence that stands in the section's place.
class Absent(Exception):
    """A section that a run has no records for; the message says why, in one line."""


@dataclass(frozen=True)
class Facts:
    """A few numbers or words with their names, in large type."""

    kind: ClassVar[str] = "facts"
    values: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column has the names of the rows. `head` is empty for pairs of name and value.

    wide: it takes the whole width of the page, not one column.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure. `svg` was made by `figures.svg`; a `wide` one takes the whole width of the page, not one column."""

    kind: ClassVar[str] = "picture"
    title: str
    svg: Markup
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Text:
    """A sentence."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """A command, or a long text that opens with a click on `summary`."""

    kind: ClassVar[str] = "code"
    text: str
    summary: str = ""


@dataclass(frozen=True)
class Position:
    """A position of a match: what was played to reach it, and a text, or a picture as a data URI."""

    caption: str
    text: str = ""
    image: str = ""


@dataclass(frozen=True)
class Boards:
    """The positions of a match."""

    kind: ClassVar[str] = "boards"
    positions: Sequence[Position]
    caption: str


Block = Facts | Table | Picture | Text | Code | Boards


@dataclass(frozen=True)
class Section:
    """A section of the page: `key` is its anchor. `absent`: why the run has none, "" if it has blocks."""

    key: str
    title: str
    blocks: Sequence[Block] = ()
    absent: str = ""

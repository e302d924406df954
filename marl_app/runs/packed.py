"""A packed player: one file to give away, with the player, facts about it as JSON, and a card in Markdown.

    agent.marl             a zip archive whose entries are stored, not compressed
      player.safetensors   the bytes of the player, unchanged: the snapshot of the store, with its digest
      facts.json           what the card says, for programs
      card.md              what the player is and how to load it, for people
      manifest.json        SHA-256 of the others

Why a zip archive: every system opens it, so that the card can be read without this program, and the player stays what
it was in its run, to the bit. Entries are stored because weights do not compress, and so that a small file cannot
become a large one when it is read. Nothing is unpacked to disk. The digests find damage; they do not say who made the
file (docs/security.md).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_app.durable import write_durably
from marl_app.runs.regular_file import read_regular
from marl_app.store.store import digest_of

SUFFIX = ".marl"
PLAYER, FACTS, CARD, MANIFEST = "player.safetensors", "facts.json", "card.md", "manifest.json"
MOST_BYTES, MOST_TEXT_BYTES = 2**32, 2**20
"""Sizes of a packed player, and of each of its texts, beyond which it is refused."""


@dataclass(frozen=True)
class PackedPlayer:
    """The content of a packed player, verified."""

    player: bytes
    facts: dict[str, Any]
    card: str


def is_packed(name: str | Path) -> bool:
    """Return whether a name is that of a packed player: it ends with `.marl`."""
    return str(name).endswith(SUFFIX)


def write_packed(file: Path, content: PackedPlayer) -> str:
    """Write a packed player, whole or not at all, and return the SHA-256 of the file.

    The same content always gives the same bytes. Raises ValueError for another suffix, and OSError.
    """
    if not is_packed(file):
        raise ValueError(f"{file} does not end with {SUFFIX}: give a name such as agent{SUFFIX}")
    # Sorted keys and entries without times: equal contents are equal bytes.
    facts = json.dumps(content.facts, indent=2, sort_keys=True, allow_nan=False)
    entries = {PLAYER: content.player, FACTS: facts.encode(), CARD: content.card.encode()}
    manifest = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    entries[MANIFEST] = json.dumps(manifest, indent=2).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # without a time: 1980
    data = buffer.getvalue()
    if len(data) > MOST_BYTES or max(len(entries[FACTS]), len(entries[CARD])) > MOST_TEXT_BYTES:
        raise ValueError(f"{file} would be too large to be read")
    write_durably(file, data)
    return digest_of(data)


def read_packed(file: Path) -> PackedPlayer:
    """Return the content of a packed player. It is data: nothing that it names is imported.

    Raises FileNotFoundError, and ValueError, in one line, for a file that is not a packed player, is too large or is
    damaged.
    """
    try:
        # The names of the entries are checked before any is read.
        entries = _entries(read_regular(file, MOST_BYTES))
        manifest = json.loads(entries.pop(MANIFEST))
        for name, data in entries.items():
            if hashlib.sha256(data).hexdigest() != manifest[name]:
                raise ValueError(f"{name} does not have the digest in {MANIFEST}")
        facts = json.loads(entries[FACTS])
        if not isinstance(facts, dict):
            raise ValueError(f"{FACTS} is not a JSON object")
        return PackedPlayer(entries[PLAYER], facts, entries[CARD].decode())
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} does not exist") from None
    except Exception as error:  # zipfile and json raise what they like for malformed bytes
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{file} is damaged, or not a packed player ({text})") from error


def _entries(data: bytes) -> dict[str, bytes]:
    """Return the entries of the archive by name. Raises ValueError unless they are those of a packed player."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # The archive's list of entries, from which sizes are known before anything is read.
        infos = archive.infolist()
        if sorted(info.filename for info in infos) != sorted((PLAYER, FACTS, CARD, MANIFEST)):
            raise ValueError(f"its entries are not {PLAYER}, {FACTS}, {CARD} and {MANIFEST}")
        for info in infos:
            most = MOST_BYTES if info.filename == PLAYER else MOST_TEXT_BYTES
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
                raise ValueError(f"{info.filename} is compressed or too large")
        return {info.filename: archive.read(info) for info in infos}

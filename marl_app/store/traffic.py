"""What moved: bytes and numbers of snapshots over each link, and how it went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

STORE_TO_RUNNER, STORE_TO_RACK, RACK_TO_NODE, NODE_TO_RUNNER = (
    "store_to_runner", "store_to_rack", "rack_to_node", "node_to_runner",
)  # fmt: skip
LINKS = (STORE_TO_RUNNER, STORE_TO_RACK, RACK_TO_NODE, NODE_TO_RUNNER)
"""Past the caches; into a rack's cache; from there into a node's shared memory; and from there into use."""


@dataclass
class Traffic:
    """Sums since the last `take`.

    bytes, count: by link. requests: snapshots that were asked for, `hits` of them answered by a rack's cache that held
    them; `seconds` is what the answers took, and `waited` the part of it in which matches stood still. corrupt: answers
    with other bytes than those of the digest, which are thrown away. bypassed: requests for which the rack's cache was
    not to be had. failed: requests without an answer.
    """

    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LINKS, 0))
    count: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LINKS, 0))
    requests: int = 0
    hits: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    corrupt: int = 0
    bypassed: int = 0
    failed: int = 0

    def record_transfer(self, link: str, size: int) -> None:
        self.bytes[link] += size
        self.count[link] += 1

    def accumulate(self, other: Traffic) -> None:
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, dict):
                for link, value in theirs.items():
                    mine[link] = mine.get(link, 0) + value
            else:
                setattr(self, item.name, mine + theirs)

    @classmethod
    def sum(cls, parts: Iterable[Traffic]) -> Traffic:
        total = cls()
        for part in parts:
            total.accumulate(part)
        return total

    def pop_totals(self) -> Traffic:
        """These sums, which begin anew."""
        taken = Traffic()
        taken.accumulate(self)
        self.__init__()  # type: ignore[misc]
        return taken

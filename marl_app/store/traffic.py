"""Counters of transfers: bytes and numbers of snapshots over each link, hits, failures and times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

STORE_TO_RUNNER, STORE_TO_RACK, RACK_TO_NODE, NODE_TO_RUNNER = (
    "store_to_runner", "store_to_rack", "rack_to_node", "node_to_runner",
)  # fmt: skip
LINKS = (STORE_TO_RUNNER, STORE_TO_RACK, RACK_TO_NODE, NODE_TO_RUNNER)
"""In this order: directly from the store; into a rack's cache; from there into a node's shared memory; from there into
an env runner."""


@dataclass
class Traffic:
    """Totals since the last `pop_totals`.

    bytes, count: transfers by link. requests: snapshots requested; hits: requests answered from a rack's cache.
    seconds: time that the answers took; waited: the part of it in which matches stood still. corrupt: answers whose
    bytes did not match the digest, which are discarded. bypassed: requests that went to the store because the rack's
    cache was unavailable. failed: requests without an answer.
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
        """Count one transfer of `size` bytes over a link."""
        self.bytes[link] += size
        self.count[link] += 1

    def accumulate(self, other: Traffic) -> None:
        """Add the totals of `other`."""
        # Counters are numbers, or numbers by link.
        for item in fields(self):
            total, part = getattr(self, item.name), getattr(other, item.name)
            if isinstance(total, dict):
                for link, value in part.items():
                    total[link] = total.get(link, 0) + value
            else:
                setattr(self, item.name, total + part)

    @classmethod
    def sum(cls, parts: Iterable[Traffic]) -> Traffic:
        """Return the sum of the parts."""
        total = cls()
        for part in parts:
            total.accumulate(part)
        return total

    def pop_totals(self) -> Traffic:
        """Return the totals and reset them to zero."""
        totals = Traffic()
        totals.accumulate(self)
        # In place, because readers share this object.
        self.__init__()  # type: ignore[misc]
        return totals

"""Unit types and scenarios of SMAX as data, with the numbers of the package `jaxmarl` (0.2.0)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marl_app.envs.batched import Float32s, Ints


class UnitType(NamedTuple):
    """What all units of a type have in common. Lengths are in cells of the map, times in seconds."""

    name: str
    letter: str  # in scenarios
    speed: float  # cells per second
    damage: float  # health that an attack takes
    attack_range: float
    sight: float
    radius: float
    health: float  # at the start
    cooldown: float  # from one attack to the next, before jitter


UNIT_TYPES = (
    UnitType("marine", "m", 3.15, 9, 5, 9, 0.375, 45, 0.61),
    UnitType("marauder", "M", 2.25, 10, 6, 10, 0.5625, 125, 1.07),
    UnitType("stalker", "s", 4.13, 13, 6, 10, 0.625, 160, 1.87),
    UnitType("zealot", "Z", 3.15, 8, 2, 9, 0.5, 150, 0.86),
    UnitType("zergling", "z", 4.13, 5, 2, 8, 0.375, 35, 0.5),
    UnitType("hydralisk", "h", 3.15, 12, 5, 9, 0.625, 80, 0.59),
)


class Scenario(NamedTuple):
    """The units of both sides, a letter for each; `random`: types and starts are drawn for each match, as in SMACv2."""

    allies: str
    enemies: str
    random: bool = False

    @property
    def types(self) -> Ints:
        """Return the types of the allies, then of the enemies, as indices into `UNIT_TYPES`: int64 [units]."""
        letters = "".join(unit_type.letter for unit_type in UNIT_TYPES)
        return np.array([letters.index(letter) for letter in self.allies + self.enemies], np.int64)


# In the names of scenarios z is a zealot.
SCENARIOS = {
    "3m": Scenario("m" * 3, "m" * 3),
    "8m": Scenario("m" * 8, "m" * 8),
    "25m": Scenario("m" * 25, "m" * 25),
    "5m_vs_6m": Scenario("m" * 5, "m" * 6),
    "10m_vs_11m": Scenario("m" * 10, "m" * 11),
    "27m_vs_30m": Scenario("m" * 27, "m" * 30),
    "2s3z": Scenario("ssZZZ", "ssZZZ"),
    "3s5z": Scenario("sssZZZZZ", "sssZZZZZ"),
    "3s5z_vs_3s6z": Scenario("sssZZZZZ", "sssZZZZZZ"),
    "3s_vs_5z": Scenario("sss", "ZZZZZ"),
    "6h_vs_8z": Scenario("hhhhhh", "ZZZZZZZZ"),
    "smacv2_5_units": Scenario("m" * 5, "m" * 5, random=True),
    "smacv2_10_units": Scenario("m" * 10, "m" * 10, random=True),
    "smacv2_20_units": Scenario("m" * 20, "m" * 20, random=True),
}


def of_types(field: str) -> Float32s:
    """Return a number of every unit type: float32 [types]."""
    return np.array([getattr(unit_type, field) for unit_type in UNIT_TYPES], np.float32)

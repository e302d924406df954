"""Players that learn, as a few numbers: how experienced they are, and where they stand in a game of circles.

Czarnecki et al. (2020), "Real world games look like spinning tops": a transitive part in which experience tells, and a
cyclic part in which everybody is beaten by somebody. The cyclic part is the disc game of Balduzzi et al. (2019),
"Open-ended learning in symmetric zero-sum games": a player is a point of the unit disc, and beats those whom it is
ahead of by less than half a turn, the more the further both are from the center. In the center nobody is beaten and
nobody beats: it is the only safe place.

    log-odds of a against b = skill(a) - skill(b) + cycle * |a| |b| sin(angle of a - angle of b)

A learner remembers the mean place of those it has met, over the last `memory_matches`, and moves as slowly towards its
best response to them: a quarter turn ahead of that mean, `sharpness` times as far from the center as it (at most to the
rim). So whoever plays one kind of opponent becomes its specialist, whoever plays all kinds becomes safe, and with
`sharpness` > 2 a learner that only plays itself goes round for ever, about once in 2 pi `memory_matches`, and beats and
forgets its past in turn.

Where we differ from the papers: all depths of the top are equally wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marl_app.league.outcomes import Ints
from marl_app.league.payoff import Floats
from marl_app.league.ratings import ELO_PER_LOGIT


class DiscState(NamedTuple):
    """A player: agent steps since its weights were initial, its place, and the mean place of those it remembers.

    Places are complex numbers of the unit disc.
    """

    agent_steps: float
    place: complex
    remembered: complex


@dataclass(frozen=True)
class Disc:
    """The rules. Elo is per doubling of `1 + agent_steps / doubling_agent_steps`, and between two on the rim."""

    elo_per_doubling: float
    doubling_agent_steps: float
    cycle_elo: float
    sharpness: float
    memory_matches: float

    def start(self, rng: np.random.Generator) -> DiscState:
        """Initial weights: without experience, anywhere on the rim."""
        place = complex(np.exp(2j * np.pi * rng.random()))
        return DiscState(0.0, place, place)

    def train(self, now: DiscState, agent_steps: float, opponents: Sequence[DiscState], matches: Ints) -> DiscState:
        """The learner after so many agent steps, in which it met `opponents` in `matches` [k], at least one in all."""
        total = int(matches.sum())
        kept = math.exp(-total / self.memory_matches)
        met = complex(np.dot(matches, [one.place for one in opponents])) / total
        remembered = kept * now.remembered + (1 - kept) * met
        response = 1j * self.sharpness * remembered
        place = kept * now.place + (1 - kept) * response / max(1.0, abs(response))
        return DiscState(now.agent_steps + agent_steps, place, remembered)

    def log_odds(self, one: DiscState, others: Sequence[DiscState]) -> Floats:
        """Log-odds [k] of winning against each of these."""
        steps = np.array([one.agent_steps, *(other.agent_steps for other in others)])
        places = np.array([other.place for other in others], np.complex128)
        skill = self.elo_per_doubling * np.log2(1 + steps / self.doubling_agent_steps)
        elo = skill[0] - skill[1:] + self.cycle_elo * (one.place * places.conj()).imag
        odds: Floats = elo / ELO_PER_LOGIT
        return odds

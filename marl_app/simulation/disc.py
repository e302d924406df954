"""Synthetic players that learn: their state is their experience, and a position in a cyclic game.

Czarnecki et al. (2020), "Real world games look like spinning tops": a transitive part, in which skill grows with
experience, and a cyclic part, in which every strategy has a counter. The cyclic part is the disc game of Balduzzi et
al. (2019), "Open-ended learning in symmetric zero-sum games": a player is a point of the unit disc. It beats players
that it is ahead of by less than half a turn; the advantage grows with the distances of both from the center. A player
in the center draws against all others: this is the only position that cannot be exploited.

    log-odds of a against b = skill(a) - skill(b) + cycle * |a| |b| sin(angle of a - angle of b)

A learner remembers the mean position of its opponents, over about `memory_matches` matches, and moves equally slowly
towards its best response to them: a quarter turn ahead of that mean, `sharpness` times as far from the center (at most
on the rim). So a learner that plays one kind of opponent specializes in it, and a learner that plays all kinds moves to
the center. With `sharpness` > 2, a learner in pure self-play circles forever, about once in 2 pi `memory_matches`, and
alternately beats and loses to its past.

Where we differ from the papers: the cyclic part does not shrink with skill (all layers of the top are equally wide).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marl_app.league.outcomes import Ints
from marl_app.league.payoff import Float64s
from marl_app.league.ratings import ELO_PER_LOGIT


class DiscState(NamedTuple):
    """The state of a player: agent steps since its initial weights, position, and mean position of recent opponents.

    Positions are complex numbers in the unit disc.
    """

    agent_steps: float
    position: complex
    remembered: complex


@dataclass(frozen=True)
class Disc:
    """The model of learning, see the module.

    elo_per_doubling: per doubling of `1 + agent_steps / doubling_agent_steps`. cycle_elo: between two players on the
    rim, a quarter turn apart.
    """

    elo_per_doubling: float
    doubling_agent_steps: float
    cycle_elo: float
    sharpness: float
    memory_matches: float

    def start(self, rng: np.random.Generator) -> DiscState:
        """Return the state of initial weights: without experience, at a random position on the rim."""
        position = complex(np.exp(2j * np.pi * rng.random()))
        return DiscState(0.0, position, position)

    def train(self, now: DiscState, agent_steps: float, opponents: Sequence[DiscState], matches: Ints) -> DiscState:
        """Return the state after `agent_steps`, with `matches` [k] against `opponents`, at least 1 in total."""
        total = int(matches.sum())
        # Exponential forgetting: the weight of the memory from before these matches.
        kept = math.exp(-total / self.memory_matches)
        met = complex(np.dot(matches, [opponent.position for opponent in opponents])) / total
        remembered = kept * now.remembered + (1 - kept) * met
        # 1j turns by a quarter, which is the best response to the remembered mean; the division keeps it in the disc.
        response = 1j * self.sharpness * remembered
        position = kept * now.position + (1 - kept) * response / max(1.0, abs(response))
        return DiscState(now.agent_steps + agent_steps, position, remembered)

    def log_odds(self, player: DiscState, others: Sequence[DiscState]) -> Float64s:
        """Return the log-odds [k] of `player` winning against each of the others."""
        steps = np.array([player.agent_steps, *(other.agent_steps for other in others)])
        positions = np.array([other.position for other in others], np.complex128)
        skill = self.elo_per_doubling * np.log2(1 + steps / self.doubling_agent_steps)
        # The imaginary part of a * conj(b) is |a| |b| sin(angle of a - angle of b).
        elo = skill[0] - skill[1:] + self.cycle_elo * (player.position * positions.conj()).imag
        odds: Float64s = elo / ELO_PER_LOGIT
        return odds

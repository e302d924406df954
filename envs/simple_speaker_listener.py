"""Simple Speaker Listener: the speaker sees which landmark is the goal and can only send a word; the listener can move.

Lowe et al. (2017). Equal to `mpe2.simple_speaker_listener_v4` (mpe2 1.1.1) step for step; `envs.particles` lists what
is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_app.envs.batched import Array, Float32s, Group, Ints
from marl_app.envs.particles import (
    ACCELERATION,
    MOVES,
    Float64s,
    Particles,
    action_directions,
    action_space,
    concatenate_parts,
    observation_space,
)

_WORDS = 3
_COLORS: Float64s = np.array([(0.65, 0.15, 0.15), (0.15, 0.65, 0.15), (0.15, 0.15, 0.65)])
_LISTENER, _LANDMARKS = 1, 2  # indices of the bodies: the listener, and the first of three landmarks


class SimpleSpeakerListener(Particles):
    """`num_matches` matches of one team of two: `speaker_0` and `listener_0`.

    max_cycles: steps per match. continuous_actions: Box actions in [0, 1] instead of Discrete ones.

    The speaker observes the color of the goal, float32 [3], and sends one of three words (continuous: the strength of
    each). The listener observes float32 [11]: its velocity, the three landmarks relative to it, and the last word. It
    moves: 0 nothing, 1 left, 2 right, 3 down, 4 up. Both get minus the squared distance of the listener from the goal.
    """

    title = "simple_speaker_listener"

    def __init__(self, num_matches: int, max_cycles: int = 25, continuous_actions: bool = False) -> None:
        groups = [
            Group("speaker", (0,), observation_space(3), action_space(_WORDS, continuous_actions)),
            Group("listener", (1,), observation_space(11), action_space(MOVES, continuous_actions)),
        ]
        agents = ["speaker_0", "listener_0"]
        # One side of both agents; no body collides; five bodies (two agents, three landmarks) start in [-1, 1].
        super().__init__(num_matches, groups, agents, [(0, 1)], [], [1.0] * 5, max_cycles, continuous_actions)
        self.goals: Ints = np.zeros(num_matches, np.int64)
        self._message: Float64s = np.zeros((num_matches, _WORDS))  # the last word, one-hot; zeros in the first step

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start all or the given matches with new positions and goals."""
        super().reset(rng, matches)
        chosen = slice(None) if matches is None else matches
        self.goals[chosen] = rng.integers(len(_COLORS), size=self.num_matches if matches is None else len(matches))
        self._message[chosen] = 0

    def observe(self, matches: Ints, agents: Ints) -> Float32s:
        """Return the observations of speakers, float32 [R, 3], or of listeners, float32 [R, 11]."""
        # All rows are of one group, as the contract says: the first one tells which.
        if not (len(agents) and agents[0] == _LISTENER):
            return concatenate_parts(_COLORS[self.goals[matches]])
        landmarks, _ = self._relative_positions(matches, agents)
        return concatenate_parts(self.velocities[matches, agents], landmarks, self._message[matches])

    def _forces(self, actions: Sequence[Array]) -> Float64s:
        # Of the speaker's group and of the listener's: [B, 1] each, or [B, 1, numbers] if continuous.
        message, moves = actions
        self._message = message[:, 0].astype(np.float64) if self._continuous else np.eye(_WORDS)[message[:, 0]]
        force = np.zeros((self.num_matches, 2, 2))  # [B, agents, 2]; the speaker does not move
        force[:, _LISTENER] = action_directions(moves[:, 0], self._continuous) * ACCELERATION
        return force

    def _rewards(self) -> Float64s:
        # [B, 2]
        goal = self.positions[np.arange(self.num_matches), _LANDMARKS + self.goals]
        distance = ((self.positions[:, _LISTENER] - goal) ** 2).sum(axis=1)
        return np.stack([-distance, -distance], axis=1)

"""Matchups of one env runner: assign opponents to matches as they start, and count results as they end.

A match keeps its opponents from its first move to its last. When a new assignment arrives, running matches continue
against the opponents that they began with; a slot is refilled when the last of its matches has ended.

With more than two sides, each other side has an opponent. The first opponent of a match is drawn by the assignment's
shares; each of the rest is drawn independently among the opponents that the same rule picked. So self-play has the
trainee on all sides, and a mixture of opponents is drawn on each side.

Shapes: B matches; K of them start or end together; R rows (match, agent).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import BatchedEnv
from marl_app.league.assignment import Assignment, Opponent
from marl_app.league.outcomes import Outcomes
from marl_app.rllib.sampling.opponent_slots import OpponentSlots
from marl_app.store.reader import FETCH_ERRORS

Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]

TRAINEE = -1
"""In place of a slot: the trainee plays the side."""
NO_SLOT_FREE = "no_slot_free"
"""The rule of self-play matches that start because all slots are still used by matches of the last assignment."""


class Matchups:
    """The B matches of an env runner, and the player on each side.

    `slots` int64 [B, sides]: the slot of the opponent on a side, or TRAINEE. `sides` int64 [B]: the side of the trainee
    (0 if it plays all). `lengths` int64 [B]: steps played so far; the env runner counts them.
    """

    def __init__(self, env: BatchedEnv, opponent_slots: OpponentSlots) -> None:
        self._opponent_slots = opponent_slots
        self._num_sides = len(env.sides)
        self._side_of_agent = np.empty(len(env.agents), np.int64)
        for side, agents in enumerate(env.sides):
            self._side_of_agent[list(agents)] = side
        self._openings = env.openings
        self.slots: Ints = np.full((env.num_matches, self._num_sides), TRAINEE)
        self.sides: Ints = np.zeros(env.num_matches, np.int64)
        self.lengths: Ints = np.zeros(env.num_matches, np.int64)
        self._opening_moves: Ints = np.zeros(env.num_matches, np.int64)  # [B]: random moves at the start

        # The opponents of the current assignment and of running matches; the index arrays below point into this list.
        self._opponents: list[Opponent] = []
        # [B, sides - 1]: the opponent on the side after the trainee's, on the one after that, and so on, cyclically.
        self._opponent_index: Ints = np.zeros((env.num_matches, self._num_sides - 1), np.int64)
        self._assigned: list[int] = []  # the opponents of the current assignment, in its order

        # The current assignment.
        self._learner = ""
        self._load_order: list[str] = []  # players of the assignment that need a slot
        self._shares: NDArray[np.float64] = np.zeros(0)
        self._assigned_side: int | None = None

        # Results since the last `pop_outcomes`, one array per call of `record_results`.
        self._results: list[Ints] = []  # [4, results]: opponent index, trainee's side, 0 win | 1 draw | 2 loss, length
        self._result_scores: list[Float32s] = []  # [results]: score of the trainee
        self._recorded_matches = 0

    def set_assignment(self, assignment: Assignment, rng: np.random.Generator) -> None:
        """Use these opponents for matches that start from now on."""
        self._learner = assignment.learner
        self._assigned = list(range(len(self._opponents), len(self._opponents) + len(assignment.opponents)))
        self._shares = assignment.shares
        self._assigned_side = assignment.side
        self._opponents += assignment.opponents
        # In random order: by a fixed one the same opponents would always wait if slots are scarce.
        keys = [key for opponent in assignment.opponents if (key := self._slot_key(opponent)) is not None]
        players = list(dict.fromkeys(keys))
        self._load_order = [players[place] for place in rng.permutation(len(players))]
        self._fill_free_slots()

    def missing_digests(self) -> list[str]:
        """Return the digests of the assignment's opponents that are in no slot yet."""
        digests = (self._opponents[index].digest for index in self._assigned)
        return [digest for digest in digests if digest is not None and self._opponent_slots.slot_of(digest) is None]

    def _fill_free_slots(self) -> None:
        """Load missing opponents of the assignment into slots that no running match uses."""
        missing = [player for player in self._load_order if self._opponent_slots.slot_of(player) is None]
        if not missing:
            return
        # [slots] bool: True for slots with running matches.
        in_use = np.bincount(self.slots[self.slots >= 0], minlength=len(self._opponent_slots.players)) > 0
        free_slots = [
            slot
            for slot, player in enumerate(self._opponent_slots.players)
            if not in_use[slot] and player not in self._load_order
        ]
        for slot, player in zip(free_slots, missing, strict=False):
            try:
                self._opponent_slots.load_player(slot, player)
            except FETCH_ERRORS:  # logged and retried by the reader; matches go on with the other opponents
                continue

    def start_matches(self, matches: Ints, rng: np.random.Generator) -> None:
        """Assign opponents, the trainee's side and a random opening to matches [K] that start."""
        # 1. The opponents of the assignment that are in a slot.
        self.lengths[matches] = 0
        self.slots[matches] = TRAINEE  # the slots of the ended matches may be free now
        self._fill_free_slots()
        assigned_slots = [self._find_slot(self._opponents[index]) for index in self._assigned]
        ready = [position for position, slot in enumerate(assigned_slots) if slot is not None]

        # 2. An opponent for each other side; self-play if none is ready.
        opponent_slots = np.full((len(matches), self._num_sides - 1), TRAINEE)  # [K, sides - 1]
        if not ready:
            self._opponents.append(Opponent(self._learner, None, NO_SLOT_FREE, 0.5, 0.0))
            self._opponent_index[matches] = len(self._opponents) - 1
        else:
            positions = self._draw_opponents(ready, len(matches), rng)
            self._opponent_index[matches] = np.array(self._assigned)[positions]
            opponent_slots = np.array([TRAINEE if slot is None else slot for slot in assigned_slots])[positions]

        # 3. The trainee's side: that of the assignment, else any; in self-play it plays all sides.
        if self._assigned_side is None:
            random_sides = rng.integers(self._num_sides, size=len(matches))
            self.sides[matches] = np.where((opponent_slots == TRAINEE).all(axis=1), 0, random_sides)
        else:
            self.sides[matches] = self._assigned_side
        self.slots[matches[:, None], self._other_sides(matches)] = opponent_slots

        # 4. The number of random moves at the start.
        if self._openings is not None:
            has_opening = rng.random(len(matches)) < self._openings.probability
            moves = rng.integers(self._openings.low, self._openings.high + 1, size=len(matches))
            self._opening_moves[matches] = np.where(has_opening, moves, 0)

    def _draw_opponents(self, ready: list[int], num_matches: int, rng: np.random.Generator) -> Ints:
        """Draw the opponents on the other sides of matches: positions in the assignment, int64 [K, sides - 1].

        ready: positions that can be drawn.
        """
        shares = self._shares[ready] / self._shares[ready].sum()
        first = rng.choice(len(ready), num_matches, p=shares)  # [K], indices into `ready`
        lineups = np.tile(first[:, None], self._num_sides - 1)  # [K, sides - 1], indices into `ready`
        if self._num_sides > 2:
            rules = np.array([self._opponents[self._assigned[position]].rule for position in ready])
            for rule in np.unique(rules):
                rule_opponents, matches = np.flatnonzero(rules == rule), np.flatnonzero(rules[first] == rule)
                probabilities = shares[rule_opponents] / shares[rule_opponents].sum()
                lineups[matches, 1:] = rng.choice(rule_opponents, (len(matches), self._num_sides - 2), p=probabilities)
        return np.array(ready)[lineups]

    def _other_sides(self, matches: Ints) -> Ints:
        """Return the sides after the trainee's (in self-play after side 0), cyclically: int64 [K, sides - 1]."""
        return (self.sides[matches, None] + np.arange(1, self._num_sides)) % self._num_sides

    def _slot_key(self, opponent: Opponent) -> str | None:
        """Return the digest or learner's id by which slots hold the opponent; None for the trainee."""
        return None if opponent.player == self._learner else opponent.digest or opponent.player

    def _find_slot(self, opponent: Opponent) -> int | None:
        """Return the opponent's slot, TRAINEE for the trainee, or None if it is in no slot."""
        key = self._slot_key(opponent)
        return TRAINEE if key is None else self._opponent_slots.slot_of(key)

    def deciding_slots(self, matches: Ints, agents: Ints) -> Ints:
        """Return the slot, or TRAINEE, that decides for each agent [R] of matches [R]: int64 [R]."""
        return self.slots[matches, self._side_of_agent[agents]]

    def is_trainee(self, matches: Ints) -> Bools:
        """Return which agents the trainee plays in matches [K]: bool [K, agents]."""
        plays: Bools = self.slots[matches][:, self._side_of_agent] == TRAINEE
        return plays

    def in_opening(self, matches: Ints) -> Bools:
        """Return which of the matches [R] are still in their random opening: bool [R]."""
        return self.lengths[matches] < self._opening_moves[matches]

    def record_results(self, matches: Ints, scores: Float32s) -> None:
        """Count the results of matches [K] that have ended; `scores` float32 [K, sides], NaN for absent sides.

        A match that ended within its random opening is not counted, because no player decided anything in it; nor is
        one without the trainee's side. An opponent whose side was absent gets no result.
        """
        played = self.lengths[matches] > self._opening_moves[matches]
        matches, scores = matches[played], scores[played]
        if self._num_sides == 1 or not len(matches):
            return
        trainee_scores = np.take_along_axis(scores, self.sides[matches, None], axis=1)  # [K, 1]
        other_scores = np.take_along_axis(scores, self._other_sides(matches), axis=1)  # [K, sides - 1]
        met = ~(np.isnan(trainee_scores) | np.isnan(other_scores))  # [K, sides - 1]
        if self._num_sides > 2:
            # [K, sides - 1]: 1, 0.5 or 0 against each other side. A side's score grows with the number of sides that it
            # beats, so the higher score is the better place. Rounding makes equal float32 scores a draw.
            trainee_scores = (1 + np.sign((trainee_scores - other_scores).round(5))) / 2
        # From here on one result per match and other side that it met: [results].
        flat_scores = trainee_scores[met]
        results = np.where(flat_scores > 0.5 + 1e-6, 0, np.where(flat_scores < 0.5 - 1e-6, 2, 1))  # win, loss, draw
        rows = met.nonzero()[0]
        sides, lengths = self.sides[matches[rows]], self.lengths[matches[rows]]
        self._results.append(np.stack([self._opponent_index[matches][met], sides, results, lengths]))
        self._result_scores.append(flat_scores)
        self._recorded_matches += int(met.any(axis=1).sum())

    def pop_outcomes(self) -> tuple[Outcomes, tuple[Opponent, ...]]:
        """Return the results since the last call, and the opponent (with the reason for its choice) of each row."""
        results = np.concatenate(self._results, axis=1) if self._results else np.zeros((4, 0), np.int64)
        scores = np.concatenate(self._result_scores) if self._result_scores else np.zeros(0)
        opposing_sides = len(scores) / max(1, self._recorded_matches)
        self._results, self._result_scores, self._recorded_matches = [], [], 0
        opponent_indices, sides, result_codes, lengths = results
        # Pack (opponent, side) into one integer to group by both. Since side < num_sides, / and % unpack it exactly.
        keys, rows = np.unique(opponent_indices * self._num_sides + sides, return_inverse=True)
        counts = np.zeros((len(keys), 3), np.int64)  # wins, draws, losses
        np.add.at(counts, (rows, result_codes), 1)
        opponents = tuple(self._opponents[key // self._num_sides] for key in keys)
        # One row per key; steps and scores are summed over the same groups as the counts.
        outcomes = Outcomes(
            learner=self._learner,
            opponents=tuple(opponent.player for opponent in opponents),
            rules=tuple(opponent.rule for opponent in opponents),
            sides=keys % self._num_sides,
            wins=counts[:, 0],
            draws=counts[:, 1],
            losses=counts[:, 2],
            steps=np.bincount(rows, lengths, len(keys)).astype(np.int64),
            scores=np.bincount(rows, scores, len(keys)).astype(np.float64),
            opposing_sides=opposing_sides or 1.0,
        )
        self._drop_unused_opponents()
        return outcomes, opponents

    def _drop_unused_opponents(self) -> None:
        """Drop opponents that are neither in a running match nor in the assignment, so that the list stays short."""
        used = np.union1d(self._opponent_index, np.array(self._assigned, np.int64)).astype(np.int64)
        used = used[used < len(self._opponents)]
        self._opponents = [self._opponents[index] for index in used]
        # `used` is sorted: an old index's position in it is its new index.
        self._opponent_index = np.searchsorted(used, self._opponent_index)
        self._assigned = np.searchsorted(used, self._assigned).tolist()

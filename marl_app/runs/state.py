"""The state of a run, as a checkpoint's state.json holds it: everything besides weights and optimizers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from marl_app.league.alarms import Reading
from marl_app.league.players import Learner, Player, Snapshot
from marl_app.moments import Moments


@dataclass
class Counters:
    """Totals of a run, kept across a resume."""

    env_steps: int = 0
    trained_agent_steps: int = 0
    updates: int = 0
    matches: int = 0
    seconds: float = 0.0
    restarts: int = 0
    failures: int = 0


@dataclass
class LearnerTotals:
    """Totals of one learner, kept across a resume.

    `agent_steps`: its actions that it has trained on. `initial`: the digest of the weights that it began with, which
    are stored where the learner may be reset. `reward_moments`: of its discounted returns.
    `reference`: the digest of the player that `algorithm.magnet` regularizes it toward, if it is one of the store;
    `reference_update`: the number of updates when it was taken.
    """

    env_steps: int = 0
    agent_steps: int = 0
    updates: int = 0
    initial: str = ""
    reward_moments: Moments = field(default_factory=Moments)
    reference: str = ""
    reference_update: int = 0


@dataclass(frozen=True)
class TurnState:
    """Whose turn it is to train: env steps per share by learner, the current learner, iterations left of its turn."""

    passed: Mapping[str, float]
    current: str
    left: int


@dataclass(frozen=True)
class RunState:
    """All that a run needs to go on, besides weights and optimizers.

    totals: of each learner. anchors: anchor -> the latest score of the main learner against it.
    exploitability: agent or meta_strategy -> value.
    readings: of the league over time, oldest first. league: `League.state_dict()`. rng: of the driver's Generator.
    value_preserving_moves: share, low, high, sampled and positions; empty if it was not measured.
    """

    iteration: int
    counters: Counters
    totals: dict[str, LearnerTotals]
    turns: TurnState
    anchors: dict[str, dict[str, float]]
    exploitability: dict[str, float]
    readings: list[Reading]
    league: dict[str, Any]
    rng: Mapping[str, Any]
    value_preserving_moves: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON types."""
        state = asdict(self)
        return {"trainees": state.pop("totals"), **state}  # the name of 0.1.0, which that version reads

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Self:
        """Return the state from what `to_json` gave, now or in 0.1.0.

        Raises KeyError if a part is missing, and ValueError, TypeError or AttributeError if one has another form.
        """
        # JSON has mappings in the place of the nested dataclasses.
        totals = {
            name: LearnerTotals(**{**values, "reward_moments": Moments(**values["reward_moments"])})
            for name, values in state["trainees"].items()
        }
        result = cls(
            iteration=state["iteration"],
            counters=Counters(**state["counters"]),
            totals=totals,
            turns=TurnState(**state["turns"]),
            anchors=state["anchors"],
            exploitability=state.get("exploitability", {}),  # runs before 0.1.0 have neither of these two
            readings=[Reading(**reading) for reading in state.get("readings", [])],
            league=state["league"],
            rng=state["rng"],
            value_preserving_moves=state.get("value_preserving_moves", {}),  # not in runs of 0.1.0
        )
        result._check_form()
        return result

    def _check_form(self) -> None:
        """Raise an error if a part that was read does not have the form of what was written."""
        _ = self.learners, self.snapshots
        if not isinstance(self.league, dict) or not isinstance(self.rng, dict):
            raise TypeError("the league or rng of the state is not a mapping")
        # Each of these raises where its part is no mapping.
        numbers = [
            self.iteration,
            self.turns.left,
            *asdict(self.counters).values(),
            *self.turns.passed.values(),
            *self.exploitability.values(),
            *self.value_preserving_moves.values(),
            *(number for score in self.anchors.values() for number in score.values()),
        ]
        digests = []
        for totals in map(asdict, self.totals.values()):
            digests += [totals.pop("initial"), totals.pop("reference")]
            numbers += [*totals.pop("reward_moments").values(), *totals.values()]
        wrong = [value for value in numbers if not isinstance(value, int | float | None)]
        wrong += [value for value in digests if not isinstance(value, str)]
        if wrong or not isinstance(self.iteration, int) or self.iteration < 0:
            raise ValueError(
                f"the state has {wrong[0] if wrong else self.iteration!r} in the place of a number or digest"
            )

    @property
    def needed_digests(self) -> set[str]:
        """The snapshots that the run may still read."""
        return needed_digests(self.snapshots, self.totals)

    @property
    def learners(self) -> list[Learner]:
        """The league's learners, the main one first."""
        return [Learner(**learner) for learner in self.league["learners"]]

    @property
    def snapshots(self) -> list[Snapshot]:
        """The pool, oldest first."""
        return [
            Snapshot(**{**snapshot, "player": Player.parse(snapshot["player"])})
            for snapshot in self.league["snapshots"]
        ]


def needed_digests(pool: Iterable[Snapshot], totals: Mapping[str, LearnerTotals]) -> set[str]:
    """Return what a run may still read from the store: the pool, what learners may be reset to, and references."""
    others = {digest for learner in totals.values() for digest in (learner.initial, learner.reference) if digest}
    return others.union(snapshot.digest for snapshot in pool)

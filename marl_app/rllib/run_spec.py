"""What one run consists of: its checked configuration and the objects made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marl_app.config.flatten import flatten
from marl_app.config.schema import Config
from marl_app.envs.batched import MakeEnv
from marl_app.league.league import League
from marl_app.league.players import Guest
from marl_app.players.modules.actor_critic import Architecture
from marl_app.players.networks import Network, module_id
from marl_app.store.reader import CacheOption
from marl_app.store.store import Store


@dataclass(frozen=True)
class RunSpec:
    """A run as `marl_app.assembly` builds it, once. Every process of the run has a copy, and nothing in it changes.

    settings: the configuration; its keys are read here and are restated nowhere else.
    make_env: number of matches -> environment. make_league: a new league, without results.
    architecture, networks, agents: the networks of every player, and the names of the environment's agents.
    sides: the agents (indices) of each side of the environment.
    reference_player, initial_player: digests of `algorithm.magnet_player` and of `init_from`; their bytes are in the
        store.
    raw_spaces: of each agent in an adapted environment, as JSON; None if they are those of the networks.
    guests: members of the pool from the beginning; their bytes are in the store.
    player_classes: networks and bots of the run's players. The bytes of a player name its class but do not import it;
        a process that makes players receives these, which imports them (they are pickled by their import paths).
    """

    settings: Config
    make_env: MakeEnv
    make_league: Callable[[], League]
    store: Store
    cache: CacheOption
    architecture: Architecture
    agents: tuple[str, ...]
    networks: tuple[Network, ...]
    raw_spaces: list[Any] | None = None
    guests: tuple[Guest, ...] = ()
    player_classes: tuple[type, ...] = ()
    sides: tuple[tuple[int, ...], ...] = ()
    reference_player: str = ""
    initial_player: str = ""

    @property
    def hparams(self) -> dict[str, Any]:
        """The configuration by dotted key, for TensorBoard and for the notes of snapshots."""
        return dict(flatten(asdict(self.settings)))

    @property
    def run_dir(self) -> Path:
        """The run's directory, absolute."""
        return Path(self.settings.output_dir).absolute()

    @property
    def learner_shares(self) -> dict[str, float]:
        """Learner -> its share of the env steps, relative to the other learners'."""
        return {name: learner.share for name, learner in self.settings.league.learners.items()}

    @property
    def main_learner(self) -> str:
        """The first learner: it is evaluated, and its curves come first."""
        return next(iter(self.settings.league.learners))

    def module_ids(self, learner: str) -> dict[str, str]:
        """Network name -> the id of this learner's network in RLlib's learner."""
        return {network.name: module_id(learner, network.name, self.networks) for network in self.networks}

"""Players from elsewhere: guests, a magnet's reference, a warm start. They are in the run's store before Ray starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from marl_app.assembly.instantiate import config_errors
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.envs.batched import BatchedEnv
from marl_app.evaluation.contestants import player_bytes
from marl_app.league.players import GUEST, Guest
from marl_app.players.agent import player_class
from marl_app.players.bots import bot_name, import_bot
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.runs.load import import_classes_of
from marl_app.runs.trust import recorded_config
from marl_app.store.codec import decode, metadata_of
from marl_app.store.provenance import publish
from marl_app.store.store import Store, digest_of


def guests(config: Config, env: BatchedEnv, store: Store) -> tuple[Guest, ...]:
    """Return the guests of `league.guests`, whose bytes are then in the store.

    A resumed run keeps a guest whose name and source are unchanged, without reading the source again. Raises
    ConfigError, naming the key, for a guest that is not found or cannot play the environment.
    """
    if config.league.guests and len(env.sides) < 2:
        raise ConfigError(
            "league.guests: the environment has one side, so it has no opponents: leave league.guests empty"
        )
    # A source may have changed or be gone: a resumed run keeps the bytes that its snapshots were measured against.
    resumed = _resumed_guests(config)
    found = []
    for name, source in config.league.guests.items():
        guest = resumed.get((name, source))
        if guest is None or not store.has(guest.digest):
            with config_errors(f"league.guests.{name}"):
                data = player_bytes(env, source, store, config.trust)
            digest = _put(store, data, {f"league.guests.{name}": source})
            guest = Guest(name, digest, source, decode(data)[1].get("side"))
        found.append(guest)
    return tuple(found)


def player_classes(config: Config, own: Sequence[type], guests: Iterable[Guest], store: Store) -> tuple[type, ...]:
    """Return the classes of all players of the run: those of its networks, `own`, and those of the guests.

    A resumed run keeps its guests, so their classes may not be imported yet. Raises ConfigError for one that may not.
    """
    classes = [*own]
    for guest in guests:
        data = store.get(guest.digest)
        with config_errors(f"league.guests.{guest.lineage}"):
            # A class that the configuration itself names may be imported. What only the bytes name is imported if
            # the run is trusted.
            if bot_name(metadata_of(data)) == guest.source:
                import_bot(guest.source)
            import_classes_of(data, Path(config.output_dir), config.trust)
            made = player_class(data)
        if made is not None:
            classes.append(made)
    return tuple(dict.fromkeys(classes))


def player_in_store(config: Config, env: BatchedEnv, store: Store, key: str, source: str | None) -> str:
    """Return the digest of the player that a key names, whose bytes are then in the store; "" without one.

    Raises ConfigError, naming the key, for a player that is not found, cannot play the environment, or is a bot.
    """
    if source is None:
        return ""
    with config_errors(key):
        data = player_bytes(env, source, store, config.trust)
    if bot_name(metadata_of(data)) is not None:
        raise ConfigError(f"{key}={source} is a bot, which has no weights: give a player with a network")
    return _put(store, data, {key: source})


def reference_player(config: Config, env: BatchedEnv, store: Store) -> str:
    """Return the digest of the player that `algorithm.magnet_player` names, as `player_in_store` does.

    A resumed run keeps the player that it has used, if the key is unchanged, without reading the source again.
    """
    key, run = "magnet_player", Path(config.output_dir)
    source = getattr(config.algorithm, key, None)
    if config.resume and source is not None and recorded_config(run).get("algorithm", {}).get(key) == source:
        # The checkpoint has the digest of the reference that each learner used last.
        saved = latest_checkpoint(run / "checkpoints")
        used = [totals.reference for totals in saved.state.totals.values()] if saved else []
        for digest in filter(store.has, filter(None, used)):
            with config_errors(f"algorithm.{key}"):
                import_classes_of(store.get(digest), run, config.trust)
            return digest
    return player_in_store(config, env, store, f"algorithm.{key}", source)


def _put(store: Store, data: bytes, config: Mapping[str, str]) -> str:
    """Put a guest's bytes into the store, with a note of their source unless the store has them already."""
    # `put` makes a blob count as new, which protects it from garbage collection.
    if store.has(digest_of(data)):
        return store.put(data)
    return publish(store, data, config)


def _resumed_guests(config: Config) -> dict[tuple[str, str], Guest]:
    """Return the guests of the run that is resumed, by name and source."""
    saved = (
        latest_checkpoint(Path(config.output_dir) / "checkpoints") if config.resume and config.league.guests else None
    )
    if saved is None:
        return {}
    # A guest's source is saved as the reason of its snapshot.
    guests = [
        Guest(snapshot.player.lineage, snapshot.digest, snapshot.reason, snapshot.side)
        for snapshot in saved.state.snapshots
        if snapshot.role == GUEST
    ]
    return {(guest.lineage, guest.source): guest for guest in guests}

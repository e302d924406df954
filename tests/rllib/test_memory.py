"""An env runner's memory does not grow with the number of snapshots that it has played."""

import ctypes
import gc

import pytest

from marl_app.players.modules.mlp import MLP
from marl_app.store.disk import DiskStore
from marl_app.store.memory import private_bytes
from tests.rllib.games import Names
from tests.rllib.runners import against, collect, make_runner, publish, random_weights

LARGE = MLP(hidden=[500, 490], activation="tanh", vf_share_layers=False, precision="float32")
POOLS = 4, 256


def resident(runner, me, pool, prefetch):
    """Return the private memory after fragments against every snapshot of the pool, two per fragment."""
    for number in range(0, len(pool), 2):
        ahead = tuple(pool[(number + place) % len(pool)] for place in (2, 3)) if prefetch else ()
        collect(runner, me, against(*((digest, 0.5) for digest in pool[number : number + 2])), seed=number, ahead=ahead)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # return freed memory to the system, so that it is not counted
    return private_bytes()


@pytest.mark.parametrize("prefetch", [False, True])
def test_memory_is_flat_from_4_to_256_snapshots(tmp_path, prefetch):
    """Snapshots of 2 MB in two slots: if all 256 stayed in memory, they would need half a gigabyte."""
    store = DiskStore(tmp_path)
    runner = make_runner(lambda n: Names(n, 6, 1), store, matches=4, steps=2, slots=2, model=LARGE, prefetch=prefetch)
    me = random_weights(runner, 0)
    pool = [publish(runner, me, n=number) for number in range(POOLS[1])]
    assert len(store.get(pool[0])) > 1_900_000 and len(set(pool)) == POOLS[1]
    resident(runner, me, pool[:8], prefetch)  # warm-up: buffers that are allocated once
    few = resident(runner, me, pool[: POOLS[0]] * 4, prefetch)
    many = resident(runner, me, pool, prefetch)
    assert many < 1.05 * few and many - few < 10e6, (few, many)
    assert runner._player_networks.opponents.weight_bytes < 2 * 2_100_000

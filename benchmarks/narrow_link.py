"""The real part of `task=stress` with its store on a separate host behind a link of limited bandwidth.

    python -m benchmarks.narrow_link                           # 200 Mbit/s; Linux, as root
    python -m benchmarks.narrow_link --mbit 50 task.real_pool=[16]

The host is a separate network namespace with an S3 server (moto); a token bucket limits what it sends. So the limit is
real: no design can be faster than its bytes out of the store / bandwidth. The table has this time, the time for the
bytes of the plan, and the measured time. Results: docs/data_plane.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST, HERE, PORT = "10.213.77.1", "10.213.77.2", 5000
NAMESPACE, STORE_LINK, HERE_LINK = "marl_store", "marl_there", "marl_here"
ACCESS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "NO_PROXY": "*"}
STRESS = (
    "task=stress", "task.parts=[real]", "league/matchmaker=uniform", "task.real_actors=[8]", "task.real_pool=[64]",
    "task.real_snapshot_bytes=[1_000_000]", "store=object_store", "store.url=s3://league/stress",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table with a row per case and design."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbit", type=float, default=200.0, help="bandwidth of the store's link, Mbit/s")
    options, overrides = parser.parse_known_args(arguments)
    environment = {**os.environ, **ACCESS}
    # 1. Run the stress test with its store on that host.
    with store_host(options.mbit, environment) as endpoint, tempfile.TemporaryDirectory() as folder:
        store_options = f"store.options={{aws_endpoint: '{endpoint}', aws_region: us-east-1}}"
        command = [sys.executable, "-m", "marl_app", *STRESS, store_options, f"hydra.run.dir={folder}", *overrides]
        subprocess.run(command, env=environment, check=True)
        with (Path(folder) / "stress.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    # 2. A row per case and design: bytes, the time that the link needs for them, and the measured time.
    print(f"store behind {options.mbit:g} Mbit/s")
    print("| case | design | out of the store | the link needs | by the plan | measured |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        if row["quantity"] == "real: seconds":
            moved, planned = (_find_value(rows, row, name) for name in ("real: bytes", "real: bytes, planned"))
            limit_s, planned_s = (8 * count / options.mbit / 1e6 for count in (moved, planned))
            cells = f"{moved / 1e6:.0f} MB | {limit_s:.1f} s | {planned_s:.1f} s | {float(row['value']):.1f} s"
            print(f"| {row['note']} | {row['design']} | {cells} |")


def _find_value(rows: Sequence[dict[str, str]], row: dict[str, str], quantity: str) -> float:
    """Return the value of a quantity at the store's link, for the design and case of `row`."""
    wanted = (quantity, row["design"], "store", row["note"])
    return next(float(r["value"]) for r in rows if (r["quantity"], r["design"], r["link"], r["note"]) == wanted)


@contextmanager
def store_host(mbit: float, environment: dict[str, str]) -> Iterator[str]:
    """Start a host with an S3 server that sends at most `mbit` Mbit/s; yields its URL, then removes the host."""
    # A pair of virtual devices connects the namespace with this host; only the end of the store is limited.
    inside = ("ip", "netns", "exec", NAMESPACE)
    _run("ip", "netns", "add", NAMESPACE)
    server = None
    try:
        # 1. Two devices, one of them in the namespace, each with an address.
        _run("ip", "link", "add", HERE_LINK, "type", "veth", "peer", "name", STORE_LINK, "netns", NAMESPACE)
        _run("ip", "address", "add", f"{HERE}/24", "dev", HERE_LINK)
        _run("ip", "link", "set", HERE_LINK, "up")
        _run(*inside, "ip", "address", "add", f"{HOST}/24", "dev", STORE_LINK)
        _run(*inside, "ip", "link", "set", STORE_LINK, "up")
        # 2. A token bucket limits what the store's end sends.
        bucket = ("rate", f"{mbit}mbit", "burst", "256kb", "latency", "400ms")
        _run(*inside, "tc", "qdisc", "add", "dev", STORE_LINK, "root", "tbf", *bucket)
        # 3. The server, inside the namespace.
        command = [*inside, sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(PORT)]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        endpoint = f"http://{HOST}:{PORT}"
        _make_bucket(f"{endpoint}/league")
        yield endpoint
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        _run("ip", "netns", "delete", NAMESPACE)  # removes both ends of the link too


def _make_bucket(url: str, wait_s: float = 60.0) -> None:
    """Create the bucket; retries until the server answers or `wait_s` is over."""
    # Without the proxy of the environment, which cannot reach the namespace.
    proxyless = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + wait_s
    while True:
        try:
            proxyless.open(urllib.request.Request(url, method="PUT"), timeout=5)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

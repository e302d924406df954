"""The real part of `task=stress` with its store on another host, behind a link of limited bandwidth.

    python -m benchmarks.narrow_link                           # 200 Mbit/s; Linux, as root
    python -m benchmarks.narrow_link --mbit 50 task.real_pool=[16]

The host is a network namespace of its own with a server that speaks S3 (moto's), and what it sends goes through a token
bucket. So the wall is a real one: no design can be faster than its bytes out of the store divided by the bandwidth.
Beside the time that was measured stands what the plan's bytes would take. Results: docs/data_plane.md.
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
NAMESPACE, THERE_LINK, HERE_LINK = "marl_store", "marl_there", "marl_here"
ACCESS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "NO_PROXY": "*"}
STRESS = (
    "task=stress", "task.parts=[real]", "league/matchmaker=uniform", "task.real_actors=[8]", "task.real_pool=[64]",
    "task.real_snapshot_bytes=[1_000_000]", "store=object_store", "store.url=s3://league/stress",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbit", type=float, default=200.0, help="bandwidth of the store's link, Mbit/s")
    given, overrides = parser.parse_known_args(arguments)
    environment = {**os.environ, **ACCESS}
    with store_host(given.mbit, environment) as endpoint, tempfile.TemporaryDirectory() as folder:
        options = f"store.options={{aws_endpoint: '{endpoint}', aws_region: us-east-1}}"
        command = [sys.executable, "-m", "marl_app", *STRESS, options, f"hydra.run.dir={folder}", *overrides]
        subprocess.run(command, env=environment, check=True)
        with (Path(folder) / "stress.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    print(f"store behind {given.mbit:g} Mbit/s")
    print("| case | design | out of the store | the link needs | by the plan | measured |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        if row["quantity"] == "real: seconds":
            moved, planned = (_bytes(rows, row, name) for name in ("real: bytes", "real: bytes, planned"))
            wall, expected = (8 * some / given.mbit / 1e6 for some in (moved, planned))
            cells = f"{moved / 1e6:.0f} MB | {wall:.1f} s | {expected:.1f} s | {float(row['value']):.1f} s"
            print(f"| {row['note']} | {row['design']} | {cells} |")


def _bytes(rows: Sequence[dict[str, str]], like: dict[str, str], quantity: str) -> float:
    wanted = (quantity, like["design"], "store", like["note"])
    return next(float(r["value"]) for r in rows if (r["quantity"], r["design"], r["link"], r["note"]) == wanted)


@contextmanager
def store_host(mbit: float, environment: dict[str, str]) -> Iterator[str]:
    """A host with an S3 server that sends at most so much; yields its address."""
    inside = ("ip", "netns", "exec", NAMESPACE)
    _run("ip", "netns", "add", NAMESPACE)
    server = None
    try:
        _run("ip", "link", "add", HERE_LINK, "type", "veth", "peer", "name", THERE_LINK, "netns", NAMESPACE)
        _run("ip", "address", "add", f"{HERE}/24", "dev", HERE_LINK)
        _run("ip", "link", "set", HERE_LINK, "up")
        _run(*inside, "ip", "address", "add", f"{HOST}/24", "dev", THERE_LINK)
        _run(*inside, "ip", "link", "set", THERE_LINK, "up")
        bucket = ("rate", f"{mbit}mbit", "burst", "256kb", "latency", "400ms")
        _run(*inside, "tc", "qdisc", "add", "dev", THERE_LINK, "root", "tbf", *bucket)
        command = [*inside, sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(PORT)]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        endpoint = f"http://{HOST}:{PORT}"
        _make_bucket(f"{endpoint}/league")
        yield endpoint
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        _run("ip", "netns", "delete", NAMESPACE)  # and both ends of the link


def _make_bucket(url: str, wait_s: float = 60.0) -> None:
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

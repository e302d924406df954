"""A real S3 server on this machine: moto's, as a separate process."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

BUCKET = "league"


class S3:
    """An S3 server; `url` and `options` are arguments of `ObjectStore`. Its content is lost when it stops."""

    url = f"s3://{BUCKET}/snapshots"

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.options = {
            "aws_endpoint": self.endpoint, "aws_region": "us-east-1",
            "aws_access_key_id": "nobody", "aws_secret_access_key": "nothing",
        }  # fmt: skip
        self._process = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        environment = {**os.environ, "NO_PROXY": "*"}
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT"), timeout=30)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

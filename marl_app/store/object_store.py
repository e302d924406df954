"""A store in S3, Google Cloud Storage, Azure or any other service that obstore supports: one object per blob.

A publish is one conditional put ("create unless it exists"), so concurrent writers do not overwrite each other, and an
object appears completely or not at all. obstore retries failing requests with growing pauses for a bounded time; after
that the store is `Unavailable`. Credentials come from the standard places of the cloud's tools (AWS_ACCESS_KEY_ID,
instance roles, ...), never from the configuration, which is written to many files.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from marl_app.store.codec import CorruptBlob
from marl_app.store.store import FACTS, Unavailable, checked_digest, digest_of, is_digest, note_path

T = TypeVar("T")
RENEW_S = 3600.0
"""A blob older than this is written again by a repeated `put`, so that it counts as new. It must be shorter than the
grace period of `garbage`, which could otherwise delete a blob that has just been put again."""


class ObjectStore:
    """A bucket as a `store.Store`.

    url: bucket and prefix, e.g. s3://bucket/league; also gs://, az://, file:///, memory://.
    timeout_s: of one request. retry_s: how long a failing request is retried before the store counts as `Unavailable`.
    options: of obstore for this kind of store, e.g. {aws_endpoint: http://127.0.0.1:5000, aws_region: us-east-1}.
    Raises ImportError without obstore (the extra object-store), ValueError for an invalid URL, and
    `Unavailable` if the store does not answer.
    """

    def __init__(
        self, url: str, timeout_s: float = 60.0, retry_s: float = 5.0, options: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self._settings = timeout_s, retry_s, dict(options or {})
        # One cheap request, so that a wrong URL or missing credentials fail here and not at the first snapshot.
        self._request(lambda: self._obstore.list_with_delimiter(self._client))

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        try:
            # The server decides which of several writers creates the object.
            self._write(digest, data, "create")
        except FileExistsError:
            # Overwrite a truncated object, and an old one to renew its age; the bytes are the same otherwise.
            existing = self._request(lambda: self._obstore.head(self._client, digest))
            if existing["size"] != len(data) or time.time() - existing["last_modified"].timestamp() > RENEW_S:
                self._write(digest, data, "overwrite")
        return digest

    def get(self, digest: str) -> bytes:
        """See `Store.get`. A corrupt object is not moved: the bytes may have been corrupted in transit."""
        data = self._read(checked_digest(digest))
        if digest_of(data) != digest:
            raise CorruptBlob(f"{self.url}/{digest} returned bytes with another digest")
        return data

    def has(self, digest: str) -> bool:
        try:
            self._request(lambda: self._obstore.head(self._client, checked_digest(digest)))
        except KeyError:
            return False
        return True

    def list(self) -> dict[str, float]:
        objects = self._request(lambda: self._obstore.list_with_delimiter(self._client))["objects"]
        return {
            item["path"]: item["last_modified"].timestamp()
            for item in sorted(objects, key=lambda item: item["path"])
            if is_digest(item["path"])
        }

    def delete(self, digest: str) -> None:
        for path in (checked_digest(digest), note_path(FACTS, digest)):
            # What is gone already need not be deleted.
            with contextlib.suppress(KeyError):
                self._request(functools.partial(self._obstore.delete, self._client, path))

    def note(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        self._write(note_path(kind, name), json.dumps(content).encode(), "overwrite")

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        objects = self._request(lambda: self._obstore.list_with_delimiter(self._client, f"{kind}/"))["objects"]
        return {
            item["path"].rpartition("/")[2].removesuffix(".json"): json.loads(self._read(item["path"]))
            for item in objects
        }

    def _write(self, path: str, data: bytes, mode: str) -> None:
        try:
            self._request(lambda: self._obstore.put(self._client, path, data, mode=mode))
        except KeyError as error:  # a put has no missing object: the bucket is missing
            raise Unavailable(f"store.url={self.url}: {error.args[0]}") from None

    def _read(self, path: str) -> bytes:
        return self._request(lambda: bytes(self._obstore.get(self._client, path).bytes()))

    def _request(self, request: Callable[[], T]) -> T:
        """Return the result of a request to obstore, with its exceptions translated.

        KeyError: no such object. FileExistsError: a conditional put found one. `Unavailable`: any other failure.
        """
        try:
            return request()
        except FileNotFoundError as error:
            raise KeyError(f"no such object in {self.url}: {_first_line(error)}") from None
        except self._obstore.exceptions.AlreadyExistsError as error:
            raise FileExistsError(_first_line(error)) from None
        except (self._obstore.exceptions.BaseError, OSError) as error:
            raise Unavailable(f"store.url={self.url}: {_first_line(error)}") from None

    @functools.cached_property
    def _obstore(self) -> Any:
        try:
            import obstore
            import obstore.exceptions
            import obstore.store
        except ImportError as error:
            raise ImportError(
                "store=object_store needs obstore: in the checkout, pip install '.[object-store]'"
            ) from error
        return obstore

    @functools.cached_property
    def _client(self) -> Any:
        timeout_s, retry_s, options = self._settings
        try:
            # Pauses between retries double from 0.1 s up to 2 s; `retry_s` bounds the whole.
            return self._obstore.store.from_url(
                self.url,
                config=options or None,
                client_options={"timeout": timedelta(seconds=timeout_s), "allow_http": True},
                retry_config={
                    "max_retries": 10,
                    "retry_timeout": timedelta(seconds=retry_s),
                    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
                },
            )
        except Exception as error:  # exceptions of obstore, or ValueError
            raise ValueError(f"store.url={self.url} cannot be opened: {_first_line(error)}") from error

    # The client cannot be pickled: another process makes its own from the same settings.
    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "_settings": self._settings}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]

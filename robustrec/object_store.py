"""Finished results of the home folder on object storage, through fsspec: `--store URL`.

The home folder stays where work happens. What it lacks is fetched from the store, and what was computed is uploaded. An
entry is URL/KIND/KEY.json with the name, size and sha256 of each file, and the files are URL/KIND/objects/SHA256. An
entry is written after its files, and each object appears whole: it is uploaded under a temporary name and moved.
Keys are those of the home folder. Nothing is listed, and nothing is unpickled.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from robustrec.errors import RobustrecError
from robustrec.files import digest_file, digest_json, staged_folder
from robustrec.store_urls import LOCAL_PROTOCOLS, hidden_in, protocol_of, shown_url
from robustrec.untrusted import UnreadableError
from robustrec.untrusted.documents import parse_json_object

FORMAT = 1
"""Raised by hand when the layout of the store changes."""

_ENTRY_BYTES = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Protocols without folders that must exist before a file is put into them.
_FLAT = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory")
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
}

_log = logging.getLogger(__name__)


class _DamagedError(Exception):
    """An entry of the store is incomplete or does not match its digests."""


class _File(NamedTuple):
    sha256: str
    size: int


class ObjectStore:
    """An open store.

    Args:
        url: fsspec URL; may hold credentials, and is never printed.
        fs: file system of fsspec.
        root: path of the store in it.

    Attributes:
        shown: the URL without credentials.
    """

    def __init__(self, url: str, fs: Any, root: str) -> None:
        self.shown = shown_url(url)
        self._fs, self._root = fs, root.rstrip("/")
        self._hidden = hidden_in(url)
        self._folders = protocol_of(url) not in _FLAT
        self._damaged: set[str] = set()

    def why(self, error: BaseException) -> str:
        """Return the message of an error on one line, without credentials."""
        text = " ".join(f"{type(error).__name__}: {error}".split())
        for part in self._hidden:
            text = text.replace(part, "***")
        return text[:300]

    def probe(self) -> None:
        """Look for a file that does not exist, and write, read and remove a small one of its own name.

        Raises:
            Exception: whatever the file system raises.
        """
        place, content = f"{self._root}/probe.{secrets.token_hex(8)}", b"probe"
        with suppress(FileNotFoundError):
            self._fs.cat_file(place)
        self._put_bytes(content, place)
        found = self._fs.cat_file(place)
        self._fs.rm_file(place)
        if found != content:
            raise _DamagedError("a file has other content than was written")

    def has(self, kind: str, key: str) -> bool:
        """Return whether there is an entry that is not known to be damaged."""
        if f"{kind}/{key}" in self._damaged:
            return False
        try:
            return self._entry(kind, key) is not None
        except _DamagedError:
            return False

    def fetch(self, kind: str, key: str, folder: Path) -> bool:
        """Fetch an entry as a folder, whole or not at all; return whether there is one.

        Raises:
            RobustrecError: the folder cannot be written.
        """
        try:
            files = self._entry(kind, key)
            if files is None:
                return False
            with staged_folder(folder) as stage:
                for name, file in files.items():
                    self._get(kind, file, stage / name)
        except RobustrecError:
            raise
        except _DamagedError as error:
            self._damaged.add(f"{kind}/{key}")
            _log.warning("%s/%s in the store %s is not used: %s", kind, key, self.shown, error)
            return False
        except Exception as error:  # each file system has errors of its own
            _log.warning("cannot read %s/%s from the store %s: %s", kind, key, self.shown, self.why(error))
            return False
        return True

    def upload(self, kind: str, key: str, files: Mapping[str, Path]) -> None:
        """Upload the files of an entry, and then the entry.

        Raises:
            Exception: whatever the file system raises.
        """
        uploaded: dict[str, list[str | int]] = {}
        for name, path in files.items():
            file = _File(digest_file(path), path.stat().st_size)
            place = self._object(kind, file)
            if file.sha256 in self._damaged or not self._is_there(place, file.size):
                self._put(path, place)
                self._damaged.discard(file.sha256)
            uploaded[name] = [file.sha256, file.size]
        entry: dict[str, Any] = {"format": FORMAT, "kind": kind, "key": key, "files": uploaded}
        entry["digest"] = digest_json(entry)
        self._put_bytes(json.dumps(entry, indent=1, sort_keys=True).encode(), f"{self._root}/{kind}/{key}.json")
        self._damaged.discard(f"{kind}/{key}")

    def _object(self, kind: str, file: _File) -> str:
        return f"{self._root}/{kind}/objects/{file.sha256}"

    def _entry(self, kind: str, key: str) -> dict[str, _File] | None:
        try:
            content: bytes = self._fs.cat_file(f"{self._root}/{kind}/{key}.json")
        except FileNotFoundError:
            return None
        try:
            if len(content) > _ENTRY_BYTES:
                raise ValueError("the entry is too large")
            entry = parse_json_object(content.decode())
            if entry.pop("digest", None) != digest_json(entry):
                raise ValueError("the entry does not match its digest")
            if (entry["format"], entry["kind"], entry["key"]) != (FORMAT, kind, key):
                raise ValueError("the entry has another format or key")
            files = {str(name): _File(str(sha256), int(size)) for name, (sha256, size) in entry["files"].items()}
            if not all(_NAME.fullmatch(name) and _SHA256.fullmatch(file.sha256) for name, file in files.items()):
                raise ValueError("the entry has an invalid name or digest")
        except (UnreadableError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _DamagedError(str(error)) from error
        return files

    def _get(self, kind: str, file: _File, target: Path) -> None:
        try:
            self._fs.get_file(self._object(kind, file), str(target))
        except FileNotFoundError as error:
            raise _DamagedError("a file of the entry is missing") from error
        if target.stat().st_size != file.size or digest_file(target) != file.sha256:
            self._damaged.add(file.sha256)
            raise _DamagedError("a file of the entry does not match its digest")

    def _is_there(self, place: str, size: int) -> bool:
        try:
            return bool(self._fs.info(place)["size"] == size)
        except FileNotFoundError:
            return False

    def _put_bytes(self, content: bytes, place: str) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self._put(Path(file.name), place)

    def _put(self, path: Path, place: str) -> None:
        temporary = f"{place}.{secrets.token_hex(8)}"
        if self._folders:
            self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
        try:
            self._fs.put_file(str(path), temporary)
            self._fs.mv(temporary, place)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise


_USED: ContextVar[ObjectStore | None] = ContextVar("object_store", default=None)


@contextmanager
def using(store: ObjectStore | None) -> Iterator[None]:
    """Share finished results through a store while a block runs in this thread; None: not at all."""
    token = _USED.set(store)
    try:
        yield
    finally:
        _USED.reset(token)


@contextmanager
def shared_results(url: str | None, *, offline: bool) -> Iterator[None]:
    """Open a store and use it while a block runs in this thread; None: no store.

    Raises:
        RobustrecError: as `open_store`.
    """
    with using(open_store(url, offline=offline)):
        yield


def in_use() -> bool:
    """Return whether results are shared through a store in this thread."""
    return _USED.get() is not None


def fetched(kind: str, key: str, folder: Path) -> bool:
    """Fetch an entry from the store in use; return whether it is there.

    What is incomplete, damaged or cannot be read counts as absent, with a warning.

    Raises:
        RobustrecError: the folder cannot be written.
    """
    store = _USED.get()
    return store is not None and store.fetch(kind, key, folder)


def share(kind: str, key: str, files: Callable[[], Mapping[str, Path]]) -> None:
    """Upload an entry to the store in use unless it is there; a failure is a warning.

    Args:
        kind: folder of the home.
        key: digest of all that the content depends on.
        files: returns name -> file.
    """
    store = _USED.get()
    if store is None:
        return
    try:
        if not store.has(kind, key):
            store.upload(kind, key, files())
    except Exception as error:  # each file system has errors of its own
        _log.warning(
            "cannot upload %s/%s to the store %s: %s; it stays in the home folder, and the same command uploads it",
            kind,
            key,
            store.shown,
            store.why(error),
        )


def files_in(folder: Path) -> dict[str, Path]:
    """Return name -> file of a folder."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def check_store(url: str | None, *, offline: bool) -> None:
    """Check, without importing anything, that a store can be named so.

    Raises:
        RobustrecError: it is not a URL, or is remote with `--offline`, or fsspec is not installed.
    """
    if url is None:
        return
    where = f"--store {shown_url(url)}"
    protocol = protocol_of(url)
    if not protocol or "::" in url or any(char in url.partition("?")[0] for char in "*[]") or not url.isprintable():
        raise RobustrecError(
            "the store must be one URL, such as s3://BUCKET/FOLDER, without *, [, ] and ::",
            where=where,
            fix="for example: --store s3://my-bucket/robustrec, or --store file:///shared/robustrec-store",
        )
    if offline and protocol not in LOCAL_PROTOCOLS:
        raise RobustrecError(
            f"--offline forbids the network, but the store is remote ({protocol}://)",
            where=where,
            fix="omit --offline or --store (and ROBUSTREC_STORE), or use a folder: --store file:///PATH",
        )
    if importlib.util.find_spec("fsspec") is None:
        raise _not_installed(protocol, where, "fsspec is not installed")


def open_store(url: str | None, *, offline: bool = False) -> ObjectStore | None:
    """Open a store, and check that it can be read and written; None: no store.

    Raises:
        RobustrecError: as `check_store`, or a package is missing, or the store cannot be reached, read or written.
    """
    check_store(url, offline=offline)
    if url is None:
        return None
    import fsspec

    where, protocol = f"--store {shown_url(url)}", protocol_of(url)
    try:
        fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)  # other machines write there
        store = ObjectStore(url, fs, root)
    except ImportError as error:
        raise _not_installed(protocol, where, f"a package for {protocol}:// is not installed") from error
    except Exception as error:
        raise _unusable(url, where, error) from None  # the cause may print credentials
    try:
        store.probe()
    except ImportError as error:
        raise _not_installed(protocol, where, f"a package for {protocol}:// is not installed") from error
    except Exception as error:
        raise _unusable(url, where, error) from None
    return store


def _unusable(url: str, where: str, error: Exception) -> RobustrecError:
    why = ObjectStore(url, None, "").why(error)
    protocol = protocol_of(url)
    fix = "check the URL, the network and the credentials"
    if _PACKAGES.get(protocol) == "s3fs":
        fix += " (aws s3 ls; AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    elif _PACKAGES.get(protocol) == "gcsfs":
        fix += " (gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS)"
    return RobustrecError(
        f"the store cannot be used: {why}",
        where=where,
        fix=f"{fix}; robustrec must be allowed to read, write, list and delete there. Without a store: omit --store",
    )


def _not_installed(protocol: str, where: str, what: str) -> RobustrecError:
    package = _PACKAGES.get(protocol, "")
    return RobustrecError(
        f"the store needs fsspec and a package for its protocol, but {what}",
        where=where,
        fix=f"pip install 'robustrec[store]'{' ' + package if package else ''}, or omit --store",
    )

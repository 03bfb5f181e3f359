"""Ed25519 keys and signatures of evidence packs; needs the extra evidence."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustrec.errors import RobustrecError
from robustrec.files import shown_path, unwritable
from robustrec.untrusted import UnreadableError, read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MOST = 16 << 10
_NEW = "make a pair of keys: robustrec evidence keygen --output key.pem"


def make_keys(path: Path) -> tuple[Path, str]:
    """Write a new private key with mode 0600 and its public key beside it, and return that file and its fingerprint.

    Args:
        path: file of the private key, for example key.pem; the public key is key.pub.pem.

    Raises:
        RobustrecError: a file exists already or cannot be written, or cryptography is not installed.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, public = Ed25519PrivateKey.generate(), path.with_name(f"{path.stem}.pub.pem")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for each in (path, public):
        if os.path.lexists(each):
            raise RobustrecError(
                "a file of this name already exists; keys are never overwritten",
                where=shown_path(each),
                fix="choose another name with --output",
            )
    _write_new(path, private, 0o600)
    try:
        _write_new(public, public_pem(key.public_key()), 0o644)
    except RobustrecError:
        path.unlink(missing_ok=True)
        raise
    return public, fingerprint(key.public_key())


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file.

    Raises:
        RobustrecError: not readable, encrypted, or not an Ed25519 key.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(_content(path, "--key"), password=None)
    except (ValueError, TypeError) as error:  # TypeError: encrypted
        raise _unusable(f"not an unencrypted private key in PEM: {error}", path, "--key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable("not an Ed25519 key", path, "--key")
    return key


def readable_by_others(path: Path) -> bool:
    """Return whether other users of the machine can read a file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key in a PEM file.

    Raises:
        RobustrecError: not readable, or not an Ed25519 key.
    """
    return public_key(_content(path, "--public-key"), where=f"--public-key {shown_path(path)}")


def public_key(pem: bytes, *, where: str) -> Ed25519PublicKey:
    """Return the public key in PEM bytes.

    Raises:
        RobustrecError: not an Ed25519 public key.
    """
    serialization = _serialization()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RobustrecError(f"not a public key in PEM: {error}", where=where, fix=_NEW) from error
    if not isinstance(key, Ed25519PublicKey):
        raise RobustrecError("not an Ed25519 public key", where=where, fix=_NEW)
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as PEM."""
    serialization = _serialization()
    found: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the sha256 of the 32 bytes of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def valid(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Return whether a signature of data is that of a key."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise RobustrecError(
            "signatures need the package cryptography, which is not installed",
            where="robustrec evidence",
            fix="pip install 'robustrec[evidence]'; packs without a signature need no --key",
        ) from error
    return serialization


def _content(path: Path, option: str) -> bytes:
    try:
        return read_bytes(path, most=_MOST)
    except UnreadableError as error:
        raise _unusable(f"cannot read the key: {error}", path, option) from error


def _unusable(what: str, path: Path, option: str) -> RobustrecError:
    return RobustrecError(what, where=f"{option} {shown_path(path)}", fix=_NEW)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except OSError as error:
        raise unwritable(path, error) from error

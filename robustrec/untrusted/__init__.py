"""Readers of untrusted or possibly damaged files, with limits and one exception type.

Each reader raises `UnreadableError`, whose text completes "cannot read …: "; callers turn it into the error that users
see, with the place and the fix that belong to the file's kind. Other modules open no JSON, TOML, npy or npz themselves.
"""

from typing import TYPE_CHECKING, Any

from robustrec.untrusted.documents import (
    parse_json,
    parse_json_object,
    parse_toml,
    read_json,
    read_json_object,
    read_toml,
)
from robustrec.untrusted.files import UnreadableError, open_regular, read_bytes, read_text, regular_file

if TYPE_CHECKING:
    from robustrec.untrusted.arrays import NPZ_BYTES, open_npy, read_npy_header, read_npz

__all__ = [
    "NPZ_BYTES",
    "UnreadableError",
    "open_npy",
    "open_regular",
    "parse_json",
    "parse_json_object",
    "parse_toml",
    "read_bytes",
    "read_json",
    "read_json_object",
    "read_npy_header",
    "read_npz",
    "read_text",
    "read_toml",
    "regular_file",
]


def __getattr__(name: str) -> Any:
    """Return a reader of arrays, which is imported at the first use: it brings numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from robustrec.untrusted import arrays

    return getattr(arrays, name)

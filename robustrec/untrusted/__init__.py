"""Readers of untrusted or possibly damaged files, with limits and one exception type.

Each reader raises `UnreadableError`, whose text completes "cannot read …: "; callers turn it into the error that users
see, with the place and the fix that belong to the file's kind. Other modules open no JSON, TOML, npy or npz themselves.
"""

from robustrec.untrusted.arrays import NPZ_BYTES, open_npy, read_npy_header, read_npz
from robustrec.untrusted.documents import (
    parse_json,
    parse_json_object,
    parse_toml,
    read_json,
    read_json_object,
    read_toml,
)
from robustrec.untrusted.files import UnreadableError, open_regular, read_bytes, read_text, regular_file

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

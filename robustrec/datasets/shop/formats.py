"""Files whose bytes depend on nothing but their content: no compression library, no clock, no locale."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import Any

from robustrec.datasets.shop.surfaces import Pixels


def png_bytes(pixels: Pixels) -> bytes:
    """Return a PNG of [H, W, 3] whose data lie in one stored block, as no two builds of zlib compress alike.

    Raises:
        ValueError: the picture does not fit one stored block of 65,535 bytes.
    """
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    if len(rows) > 0xFFFF:
        raise ValueError(f"a picture of {width} x {height} pixels does not fit one stored block")
    stored = struct.pack("<BHH", 1, len(rows), len(rows) ^ 0xFFFF) + rows
    stream = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, data) for name, data in ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def zip_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a ZIP of uncompressed members, all dated 1980-01-01."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return buffer.getvalue()


def jsonl_bytes(rows: Iterable[dict[str, Any]]) -> bytes:
    """Return one JSON object a line, keys in the order given."""
    return b"".join(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n" for row in rows)

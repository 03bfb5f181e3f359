"""What pictures of unusual kinds become when they are decoded, counted over a catalog."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

from robustrec.datasets.pictures import WIDE_MODES, PictureSource, opened
from robustrec.digests import file_stamp, is_settled, remembered
from robustrec.errors import RobustrecError

KINDS = {
    "transparent": "transparent pictures: on white",
    "animated": "animated pictures: first frame",
    "cmyk": "CMYK pictures: converted to RGB without a colour profile",
    "deep": "pictures of 16 bits: scaled to 8 bits",
    "turned": "pictures turned by EXIF: upright",
    "panorama": "pictures more than 3 times as long as wide: resized like all others",
    "heif": "HEIC pictures: decoded by pillow-heif",
    "avif": "AVIF pictures: decoded by Pillow",
}
"""Kind -> how it is described; a picture may be of several."""

PANORAMA = 3.0
_ORIENTATION = 0x0112
_RAW_DEEP = b"\x10"


def kinds_of(content: bytes) -> tuple[str, ...]:
    """Return the kinds of a picture file by its header, in the order of `KINDS`; none of a file that is unreadable."""
    try:
        image = opened(content)
        found = {
            "transparent": image.has_transparency_data,
            "animated": getattr(image, "n_frames", 1) > 1 and image.format != "HEIF",
            "cmyk": image.mode == "CMYK",
            "deep": image.mode in WIDE_MODES or _deep_png(content),
            "turned": image.getexif().get(_ORIENTATION, 1) not in (0, 1),
            "panorama": max(image.size) > PANORAMA * min(image.size),
            "heif": image.format == "HEIF",
            "avif": image.format == "AVIF",
        }
    except Exception:  # decoders raise nearly anything on damaged input, which is counted elsewhere
        return ()
    return tuple(name for name in KINDS if found[name])


def _deep_png(content: bytes) -> bool:
    """Return whether a file is a PNG of 16 bits a channel, which Pillow opens as one of 8."""
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content[24:25] == _RAW_DEEP


def kind_notes(source: PictureSource, cache: Path) -> tuple[str, ...]:
    """Return notes on the pictures of unusual kinds: "3 transparent pictures: on white".

    Args:
        source: pictures of the items.
        cache: folder that remembers the counts while the files stay the same.
    """

    def count() -> dict[str, int]:
        counts: Counter[str] = Counter()
        for item, entry in enumerate(source.entries):
            if entry is not None:
                with suppress(RobustrecError):
                    counts.update(kinds_of(source.read(item) or b""))
        return dict(counts)

    folder = source.path.is_dir()
    files = [source.path / entry for entry in source.entries if entry is not None] if folder else [source.path]
    stamps = [file_stamp(path) for path in files]
    state = [list(source.entries), stamps]
    settled = all(map(is_settled, stamps))
    counts = remembered(cache, f"picture kinds {source.path.resolve()}", state, count, settled=settled)
    return tuple(f"{counts[name]:,} {_plural(said, counts[name])}" for name, said in KINDS.items() if counts.get(name))


def _plural(said: str, n: int) -> str:
    return said.replace("pictures", "picture", 1) if n == 1 else said

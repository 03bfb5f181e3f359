"""Entry point: handles interrupts with exit code 130 before other modules are imported.

Reading the libraries takes seconds, in which Python's own handling would end with a traceback, or with 143.
"""

from __future__ import annotations

import gc
import os
import sys

from robustrec.interrupts import leave_on_interrupt


def start() -> None:
    """Run the command line of this process; never returns."""
    leave_on_interrupt()
    gc.disable()  # until the command starts: what modules make at import stays
    # Read when torch loads OpenMP. Threads that spin while they wait for a busy core cost several times the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Looking for plugins of pydantic reads a file of each installed package; robustrec needs none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    _open_closed_streams()
    from robustrec.streams import prepare_streams

    prepare_streams()  # typer reads widths when it is imported
    from robustrec.cli.main import main

    main()


def _open_closed_streams() -> None:
    """Open what the caller closed of stdin, stdout and stderr.

    A file that is opened later would get the free number, and what is printed would land in it. Writing to this stdout
    fails, so that results that nobody can get are an error; messages to stderr are lost.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. Read-only: a write fails.
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115

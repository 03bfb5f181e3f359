"""Runs the command line, and converts exceptions to messages and exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import re
import signal
import sys
import traceback
from contextlib import suppress
from types import FrameType
from typing import Any

from typer.exceptions import TyperException

from robustrec.cli.commands import command_line
from robustrec.cli.terminal import Finished, print_error, say, stdout_error
from robustrec.config import set_elsewhere
from robustrec.errors import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_PASS, RobustrecError, described
from robustrec.files import shown_path
from robustrec.in_use import marking_use
from robustrec.interrupts import leave_on_interrupt
from robustrec.own_code import folders_stay
from robustrec.store_urls import recorded_command
from robustrec.streams import StdoutError, abandon_stdout, flush_stdout, prepare_streams

_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|[Ss]torage size|invalid buffer size")
_OF_STDOUT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)


def app(*, args: list[str], prog_name: str, standalone_mode: bool) -> Any:
    """Run the command line on arguments, and return what typer does."""
    made = command_line(args)
    if not gc.isenabled():  # by robustrec.start
        gc.freeze()
        gc.enable()
    return made(args=args, prog_name=prog_name, standalone_mode=standalone_mode)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 pass, 1 a gate was breached, 2 any error, 130 interrupted."""
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
        leave_on_interrupt()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    with suppress(Exception):
        atexit._run_exitfuncs()
    abandon_stdout()
    # Python's own end takes long after torch was loaded, and a signal or a fault in it would change the exit code.
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; 1 always means a breached gate."""
    prepare_streams()
    interrupts: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    with folders_stay(), marking_use():
        code = _run(arguments)
    if interrupts:  # even where somebody's code caught it
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED and arguments[:1] != ["view"]:
        say("interrupted; run the same command again to resume")
    return code


def _run(arguments: list[str]) -> int:
    code = EXIT_ERROR
    try:
        _refuse_nul(arguments)
        # Typer turns an interrupt into 130, wherever in the command it came. No code but that and 0 is believed: code
        # of somebody else's can raise typer's Exit too.
        result = app(args=arguments, prog_name="robustrec", standalone_mode=False)
        flush_stdout()
        code = {None: EXIT_PASS, EXIT_PASS: EXIT_PASS, EXIT_INTERRUPTED: EXIT_INTERRUPTED}.get(result, EXIT_ERROR)
    except Finished as end:
        code = end.code
    except RobustrecError as error:
        print_error(_with_source(error, arguments))
    except TyperException as error:
        _print_wrong_use(error, arguments)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except StdoutError as error:
        # A reader that closes the pipe, such as head, is not an error.
        code = EXIT_PASS if error.reader_left else EXIT_ERROR
        if not error.reader_left:
            print_error(stdout_error(error))
        abandon_stdout()
    except SystemExit as error:
        # Shell completion ends so. Code of somebody else's that ends the process must never look like a pass.
        completing = any(name.endswith("_COMPLETE") for name in os.environ)
        # Typer ends so where the reader of its help has left.
        left = isinstance(error.__context__, BrokenPipeError) and "--help" in arguments
        code = EXIT_PASS if left or (completing and error.code in (0, None)) else EXIT_ERROR
    except BaseException as error:  # an internal error must never look like a breached gate
        _report(error, arguments)
    return code


def _with_source(error: RobustrecError, arguments: list[str]) -> RobustrecError:
    """Return an error about an option that a file or variable sets, with the name of the file or variable."""
    options = dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z-]*", error.where))
    found = [(option, source) for option in options if (source := set_elsewhere(option, arguments))]
    places = "; ".join(f"{option} is set by {source}" for option, source in found)
    return RobustrecError(error.what, where=f"{error.where} ({places})", fix=error.fix) if places else error


def _refuse_nul(arguments: list[str]) -> None:
    """Reject NUL characters in arguments; without this check, they fail only when a path is opened."""
    for argument in arguments:
        if "\0" in argument:
            raise RobustrecError(
                f"an argument contains a NUL character: {argument[:200]!r}",
                where="the command line",
                fix="remove the NUL character",
            )


def _report(error: BaseException, arguments: list[str]) -> None:
    """Print an unexpected error: a full stdout, a failing path, too little memory, or an internal error."""
    message = described(error)
    if isinstance(error, OSError) and error.filename is None and error.errno in _OF_STDOUT:  # help, by typer
        print_error(stdout_error(StdoutError(error.strerror or str(error))))
        abandon_stdout()
    elif isinstance(error, OSError) and error.filename is not None:
        fix = "check the length of the path, its permissions and its disk"
        print_error(RobustrecError(error.strerror or message, where=shown_path(str(error.filename)), fix=fix))
    # torch has no exception of its own for the memory of the CPU.
    elif isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(message)):
        fix = "close other programs, or use a smaller data set, model or batch: see robustrec config show"
        print_error(
            RobustrecError("not enough memory", where=" ".join(recorded_command(["robustrec", *arguments])), fix=fix)
        )
    else:
        _report_fault(message)


def _report_fault(message: str) -> None:
    say(f"{traceback.format_exc()}internal error: {message}. Please report it with the lines above.")


def _print_wrong_use(error: TyperException, arguments: list[str]) -> None:
    message = getattr(error, "format_message", lambda: str(error))()
    if not message:  # no_args_is_help has printed the help already
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "robustrec"
    where = " ".join(recorded_command(["robustrec", *arguments]))
    print_error(RobustrecError(message, where=where, fix=f"see the options: {command} --help"))

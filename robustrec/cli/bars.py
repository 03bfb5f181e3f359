"""Progress bars on a terminal; imported only where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from robustrec.progress import Progress as Report

_ROOM_FOR_BAR = 72  # columns


class _Stages(Progress):
    """The running stage with its ETA, and the current item on the line below."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the lines of the live view."""
        running = [task for task in self.tasks if task.visible]
        yield self.make_tasks_table(running)
        for task in running:
            if note := task.fields["note"]:
                yield Text(f"  {note}", no_wrap=True, overflow="ellipsis", style="dim")


@contextmanager
def bars(console: Console) -> Iterator[Report]:
    """Yield a progress reporter that draws progress bars."""
    with _Stages(*_columns(console.width), console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int, note: str = "", /) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    progress.update(earlier, visible=False)
                tasks[stage] = progress.add_task(escape(stage), total=total, note="")
            progress.update(tasks[stage], completed=done, total=total, note=note, visible=True)

        yield report


def _columns(width: int) -> list[ProgressColumn]:
    """Return the columns that fit: stage, progress and ETA; on wide terminals also a bar and the elapsed time."""
    stage = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
    counts = MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=5))
    left = TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=5))
    if width < _ROOM_FOR_BAR:
        return [stage, counts, left]
    bar = BarColumn(bar_width=16)
    return [stage, bar, counts, TimeElapsedColumn(), TextColumn("left"), left]

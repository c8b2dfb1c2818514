"""A bar with its times in one line and notes below it, which fits into 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.text import Text

from phalanx.core.console import above

WIDTH = 24  # columns of the bar itself
NEXT = "  ·  "  # between two notes


class BarWithNotes(Progress):
    """A bar with its times in a line of their own, so that no width of a terminal cuts them, and notes below."""

    notes: Sequence[str] = ()

    def __init__(self, *columns: ProgressColumn, console: Console, **options: Any) -> None:
        """Takes what `rich.progress.Progress` takes."""
        super().__init__(*columns, console=console, redirect_stderr=False, **options)
        self.shown = ExitStack()

    def start(self) -> None:
        """Shows the bar; messages stand above it."""
        if not self.disable:
            self.shown.enter_context(above(self.console))
        super().start()

    def stop(self) -> None:
        """Hides the bar; a second call does nothing."""
        super().stop()
        self.shown.close()

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and what stands below it."""
        yield from super().get_renderables()
        yield _Notes(self.notes)


class _Notes:
    """Notes in one line, or in one each where that is too narrow."""

    def __init__(self, notes: Sequence[str]) -> None:
        self.notes = notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        together = NEXT.join(filter(None, self.notes))
        for note in [together] if cell_len(together) <= options.max_width else self.notes:
            yield Text(note)


def bar_column(text: str) -> TextColumn:
    """A column of a bar, such as `{task.description}`; what stands in it is not markup."""
    return TextColumn(text, markup=False)  # the console has no say in it

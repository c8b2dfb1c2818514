"""The report of one run: its metrics, figures and configuration, and where it comes from."""

import base64
import functools

from phalanx.core.reading import MAX_TABLE, read_bytes
from phalanx.report.pages.render import render
from phalanx.report.run_figures.curves import curves_info, draw_curves
from phalanx.report.svg import inline
from phalanx.runs.config_file import read_values, to_yaml
from phalanx.runs.layout import RunPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.metrics_csv import read_metrics
from phalanx.runs.stored_run import read_stored_run


def run_html(paths: RunPaths, left_out: LeftOut) -> str:
    """The page about the run in a folder. Raises `RunFolderError` if its result, metrics or configuration is damaged.

    Args:
        paths: The run's folder.
        left_out: Takes the plots that cannot be read, which the page names too.
    """
    result, name = read_stored_run(paths.root), paths.root.absolute()
    history, config = read_metrics(paths.metrics), config_text(paths)
    files = sorted(paths.plots.glob("*.png"), key=lambda file: (file.stem != "curves", file.stem))
    curves = None
    if history and not files:
        curves = inline(draw_curves(curves_info(history, result.best_epoch)), "curves by epoch")
    read = (functools.partial(read_bytes, file, inside=paths.root, limit=MAX_TABLE) for file in files)
    shown = [(file.stem, left_out.attempt(call, b"")) for file, call in zip(files, read, strict=True)]
    images = [(stem, _data_url(data)) for stem, data in shown if data]
    title = f"{name.parent.name}, trial {name.name}" if name.name.isdecimal() else name.name
    return render(
        "run.html.j2", title=title, result=result, config=config, images=images, curves=curves,
        left_out=left_out.faults,
    )  # fmt: skip


def _data_url(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def config_text(paths: RunPaths) -> str:
    """The configuration as YAML without the tracking, which may hold secrets; empty if there is none."""
    values = read_values(paths.config_resolved) if paths.config_resolved.exists() else {}
    return to_yaml({key: value for key, value in values.items() if key != "tracking"}) if values else ""

"""The report of one run: its metrics, figures and configuration, and where it comes from."""

import base64
import functools
from collections.abc import Mapping
from typing import Any

from phalanx.analysis.class_scores import class_table
from phalanx.core.metrics import measures_of
from phalanx.core.reading import MAX_TABLE, read_bytes
from phalanx.report.context import command_of, facts, mlflow_fact, read_config
from phalanx.report.differences import Row, differences
from phalanx.report.pages.made import MadeOf, made_of
from phalanx.report.pages.render import render
from phalanx.report.run_figures.curves import curves_info, draw_curves
from phalanx.report.svg import inline
from phalanx.runs.config_file import read_values, to_yaml
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.metrics_csv import read_metrics
from phalanx.runs.stored_run import read_stored_run
from phalanx.runs.sweep_folder import RunLocation, is_sweep, sweep_summary

CONFUSION = "confusion"  # the figure beside the table of the classes


def run_html(paths: RunPaths, left_out: LeftOut) -> str:
    """The page about the run in a folder. Raises `RunFolderError` if its result, metrics or configuration is damaged.

    Args:
        paths: The run's folder.
        left_out: Takes the plots that cannot be read, which the page names too.
    """
    result, name = read_stored_run(paths.root), paths.root.absolute()
    history, config = read_metrics(paths.metrics, result.n_rows), config_text(paths)
    files = sorted(paths.plots.glob("*.png"), key=lambda file: (file.stem != "curves", file.stem))
    curves = None
    if history and not files:
        curves = inline(draw_curves(curves_info(history, result.best_epoch)), "curves by epoch")
    read = (functools.partial(read_bytes, file, inside=paths.root, limit=MAX_TABLE) for file in files)
    shown = [(file.stem, left_out.attempt(call, b"")) for file, call in zip(files, read, strict=True)]
    images = [(stem, _data_url(data)) for stem, data in shown if data]
    values = read_config(paths.config_resolved)
    command = left_out.attempt(functools.partial(_command, paths), "")
    best, rows = left_out.attempt(functools.partial(_against_best, paths, values, result.overrides), (None, []))
    made = left_out.attempt(functools.partial(made_of, paths), MadeOf())
    title = f"{name.parent.name}, trial {name.name}" if name.name.isdecimal() else RunLocation(paths).name
    return render(
        "run.html.j2", title=title, result=result, measures=measures_of(result.metrics), config=config,
        images=[image for image in images if image[0] != CONFUSION], classes=class_table(result),
        confusion=dict(images).get(CONFUSION),
        curves=curves, left_out=left_out.faults, best=best, made=made, differences=rows,
        facts=facts([result], command, [mlflow_fact(result.mlflow_run_id, values)]),
    )  # fmt: skip


def _command(paths: RunPaths) -> str:
    """The command that started the run or, of a trial, its sweep."""
    request = paths.root.parent / "multirun.yaml"
    if paths.root.name.isdecimal() and request.is_file():
        return command_of(request, multirun=True)
    return command_of(paths.hydra, multirun=False)


def _against_best(
    paths: RunPaths, values: Mapping[str, Any], typed: Mapping[str, str]
) -> tuple[int | None, list[Row]]:  # fmt: skip
    """The number of the best trial of the run's sweep, if there is another one, and the keys with other values than
    the defaults or than the best trial's.

    Raises `UnreadableFile` if a file of the sweep is damaged.
    """
    number: int | None = None
    if paths.root.name.isdecimal() and is_sweep(paths.root.parent):
        number = sweep_summary(paths.root.parent).get("best")
    if number is None or number == int(paths.root.name):
        return None, differences([(values, typed)])
    best = read_stored_run(SweepPaths(paths.root.parent).trial(number).root)
    config = read_config(RunPaths(best.folder).config_resolved)
    return number, differences([(config, best.overrides), (values, typed)])


def _data_url(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def config_text(paths: RunPaths) -> str:
    """The configuration as YAML without the tracking, which may hold secrets; empty if there is none."""
    values = read_values(paths.config_resolved) if paths.config_resolved.exists() else {}
    return to_yaml({key: value for key, value in values.items() if key != "tracking"}) if values else ""

"""Runs the stored studies at full size and writes what they found: the tables and figures of their pages, and the
overview in docs/studies.md.

    python experiments/measure.py [--data-root ../shared/data] [--quick] [NAME ...]

A study is a folder with `experiment/<name>.yaml`, `README.md` and `measure.py`, whose `measure(lab)` returns a
`Finding`. What it found is kept in `measured.json`, from which the overview is made. With `--quick` everything is
trained on a few samples and written to a copy that is thrown away: a study that no longer runs shows itself in seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import psutil
from lab import AGREEMENT, HERE, STANDARD_ERRORS, Agreement, Finding, Lab, Measure, table

OVERVIEW = HERE.parent / "docs" / "studies.md"
WHOLE = HERE / "measured.json"  # when and how long the last run of the whole collection was
MARKS = ("<!-- measured: begin, written by `make experiments` -->", "<!-- measured: end -->")


def studies() -> list[str]:
    """Every folder with a `measure.py`."""
    return sorted(path.parent.name for path in HERE.glob("*/measure.py"))


def load(name: str) -> tuple[Measure, Sequence[str]]:
    """The `measure` of one study and the overrides that make it small: its own `SMALLER`, or `debug=limit`."""
    spec = importlib.util.spec_from_file_location(f"measure_{name}", HERE / name / "measure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.measure, getattr(module, "SMALLER", ("debug=limit",))


def between_marks(page: Path, text: str) -> None:
    """Replaces what stands between the marks of a page."""
    before, rest = page.read_text().split(MARKS[0])
    page.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


def machine() -> str:
    import torch

    return f"{os.cpu_count()} CPU cores, torch {torch.__version__.split('+')[0]}, Python {platform.python_version()}"


def write(folder: Path, found: Finding, seconds: float, *, alone: bool = False) -> None:
    """The measured part of a study's page, and `measured.json`, in the study's folder.

    A study that is measured alone keeps its time in the whole collection, of which the overview has the sum.
    """
    file = folder / "measured.json"
    if alone and file.is_file():
        seconds = json.loads(file.read_text())["seconds"]
        parts = [f"{date.today()}, {machine()}; {seconds} s in all when the whole collection was measured."]
    else:
        parts = [f"{date.today()}, {machine()}; {seconds:.0f} s in all."]
    if found.agreements:
        parts += [
            "Mean ± standard deviation (number of seeds); the difference of the means may be "
            f"{STANDARD_ERRORS:g} standard errors, with the deviation pooled over both.",
            table(AGREEMENT, [agreement.line() for agreement in found.agreements]),
        ]
    between_marks(folder / "README.md", "\n\n".join([*parts, found.text]))
    kept = {"seconds": round(seconds), "answer": found.answer, "agreements": [asdict(a) for a in found.agreements]}
    file.write_text(json.dumps(kept, indent=1) + "\n")


def known(name: str) -> dict:
    return json.loads((HERE / name / "measured.json").read_text())


def agreements(name: str) -> list[Agreement]:
    """The comparisons of a study with its references, as they were measured last."""
    return [Agreement(**row) for row in known(name)["agreements"]]


def overview() -> str:
    """A row a study, under a figure of everything that has a reference."""
    names = [name for name in studies() if (HERE / name / "measured.json").is_file()]
    draw_references(names)
    rows = [[f"[{name}](../experiments/{name}/README.md)", known(name)["answer"]] for name in names]
    whole = json.loads(WHOLE.read_text())
    head = (
        f"`make experiments` measured the whole collection in {clock(whole['seconds'])}, {whole['date']}, on "
        f"{whole['machine']}; intervals are 95 % of the mean over seeds on one split, cut at 0 and 1."
    )
    return "\n\n".join([head, "![measured accuracies beside their references](../experiments/references.png)",
                        table(("study", "what came out"), rows)])  # fmt: skip


def clock(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s"


def draw_references(names: list[str]) -> None:
    """`references.png`: every recipe that has a reference, seeds and means of both."""
    from phalanx.report.style import BLUE, TICK, VERMILLION, label_axes, new_figure, save_figure

    lines = [(f"{name}: {a.what}", a) for name in names for a in agreements(name)]
    figure = new_figure(9, 0.42 * len(lines) + 1.4)
    axes = figure.subplots()
    for place, (_, agreement) in enumerate(lines):
        both = ((agreement.ours, -0.13, BLUE, "here"), (agreement.reference, 0.13, VERMILLION, "reference"))
        for seeds, shift, colour, label in both:
            style = {"color": colour, "label": label if place == 0 else None}
            axes.plot(seeds, [place + shift] * len(seeds), "o", markersize=5, alpha=0.45, markeredgewidth=0, **style)
            axes.plot([sum(seeds) / len(seeds)], [place + shift], "|", color=colour, markersize=13, markeredgewidth=2)
    axes.set_yticks(range(len(lines)), [text for text, _ in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    label_axes(axes, "", "accuracy: a dot a seed, a bar the mean")
    figure.legend(loc="outside upper right", ncols=2, fontsize=TICK, frameon=False)
    save_figure(figure, HERE / "references.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies to measure; all of them by default")
    parser.add_argument("--quick", action="store_true", help="on few samples, nothing is kept: does it still run?")
    parser.add_argument("--data-root", type=Path, default=HERE.parent.parent / "shared" / "data")
    args, added = parser.parse_args(), 0  # seconds of studies that the collection did not have
    with tempfile.TemporaryDirectory() as scratch:
        pages = Path(scratch, "pages") if args.quick else HERE
        for name in args.names or studies():
            if args.quick:
                shutil.copytree(HERE / name, pages / name)
            start = time.perf_counter()
            measure, smaller = load(name)
            found = measure(Lab(name, args.data_root, Path(scratch), pages, smaller if args.quick else ()))
            seconds = time.perf_counter() - start
            if not args.quick and not (HERE / name / "measured.json").is_file():
                added += round(seconds)
            write(pages / name, found, seconds, alone=bool(args.names))
            print(f"{name}: {seconds:.0f} s: {found.answer}", flush=True)
    if args.quick:
        return
    if not args.names:
        seconds = round(time.time() - psutil.Process().create_time())
        kept = {"date": str(date.today()), "machine": machine(), "seconds": seconds}
        WHOLE.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"the whole collection: {clock(seconds)}")
    elif added:
        kept = json.loads(WHOLE.read_text())
        WHOLE.write_text(json.dumps({**kept, "seconds": kept["seconds"] + added}, indent=1) + "\n")
    between_marks(OVERVIEW, overview())


if __name__ == "__main__":
    main()

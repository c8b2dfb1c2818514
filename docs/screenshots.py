"""Pictures of MLflow's page for docs/track.md: a real search on digits, tracked, and looked at in Chromium.

    python docs/screenshots.py [FOLDER for the runs, kept]

Writes docs/images/mlflow_*.png, each below 200 KB. Needs Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.mlflow_page import Page, browser  # noqa: E402
from support.mlflow_servers import Server  # noqa: E402

from phalanx.tracking.links import MODE, Place, read_place, run_path  # noqa: E402

IMAGES = ROOT / "docs" / "images"
LARGEST = 200_000
SIZE = (1900, 1000)
PANEL = 485  # pixels at the right that MLflow's assistant takes, which are cut off
STUDY = [
    "-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=losses", "hydra.sweeper.n_trials=24",
    "hydra.sweeper.sampler.seed=1", "loss=choice(nll,cross_entropy,mse)", "model.width=choice(16,32,64)",
    "optimizer.lr=tag(log,interval(0.0003,0.03))", "trainer.epochs=15",
]  # fmt: skip
HIDE = """document.querySelectorAll(".modebar").forEach(e => e.remove());
[...document.querySelectorAll("*")].filter(e => e.textContent.startsWith("Path: ") && e.offsetHeight < 60)
  .forEach(e => e.style.visibility = "hidden");"""  # the plots' buttons, and where files lie on this machine
HIDDEN = ("Dataset", "Source", "Models")  # columns that MLflow shows by itself
COLUMNS = ("val_accuracy", "loss.name", "optimizer.lr", "model.hidden")


def track(folder: Path) -> None:
    """A search of 24 trials and a single run."""
    for arguments in (["trainer.epochs=15"], STUDY):
        subprocess.run([sys.executable, str(ROOT / "train.py"), *arguments], cwd=folder, check=True)


def best_first(sweep: Path) -> list[str]:
    """MLflow's run ids of the search's trials."""
    with open(sweep / "trials.csv", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: -float(row["objective"] or 0))
    return [row["mlflow_run_id"] for row in rows]


def shoot(page: Page, name: str) -> None:
    """A screenshot in 256 colours or fewer."""
    time.sleep(2)  # until what moves stands still
    page.driver.execute_script(HIDE)
    page.shoot(name)
    file = page.shots / f"{name}.png"
    with Image.open(file) as whole:
        image = whole.crop((0, 0, whole.width - PANEL, whole.height))
        colours = 256
        while True:
            image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
            if file.stat().st_size <= LARGEST:
                return
            colours //= 2


def runs_table(page: Page, url: str, place: Place) -> None:
    page.open(f"{url}/{place.path}")  # the link that the sweep has printed
    page.see("losses", "matching runs")
    page.unfold()
    page.see("trial 3")
    for name in (*HIDDEN, *COLUMNS):
        page.column(name)
    shoot(page, "mlflow_runs")


def compare(page: Page, url: str, experiment: str, runs: list[str]) -> None:
    page.compare(url, experiment, runs)
    page.see("Parallel Coordinates Plot")
    page.until(lambda: page.find(".js-plotly-plot .parcoords"), "the plot")
    shoot(page, "mlflow_compare")


def one_run(page: Page, url: str, experiment: str, run: str) -> None:
    page.open(f"{url}/{run_path(experiment, run)}")
    page.see("completed after", "Registered models")
    shoot(page, "mlflow_run")
    page.open(f"{url}/{run_path(experiment, f'{run}/model-metrics')}")
    page.until(lambda: page.find(".js-plotly-plot .scatterlayer .point"), "the points of a curve")
    shoot(page, "mlflow_curves")
    page.open(f"{url}/{run_path(experiment, f'{run}/artifacts')}")
    page.see("model.safetensors", "plots")
    page.click("div, span, a", "plots")
    page.click("div, span, a", "confusion.png")
    page.until(
        lambda: page.driver.execute_script("return [...document.images].some(i => i.naturalWidth > 300)"), "plot"
    )
    shoot(page, "mlflow_artifacts")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "mlflow.db").exists():
            track(folder)
        sweep = folder / "outputs" / "sweeps" / "losses"
        runs, place = best_first(sweep), read_place(sweep)
        IMAGES.mkdir(exist_ok=True)
        with Server(folder, "ui") as server, browser(Path(scratch) / "profile", SIZE) as driver:
            page = Page(driver, IMAGES)
            runs_table(page, server.url, place)
            compare(page, server.url, "1", runs)
            one_run(page, server.url, "1", runs[0])
            page.open(f"{server.url}/#/models/phalanx-digits?{MODE}")
            page.see("phalanx-digits", "Version 1")
            shoot(page, "mlflow_model")


if __name__ == "__main__":
    main()

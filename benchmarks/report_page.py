"""What a report costs: seconds to write, size, and seconds to open in headless Chromium. Or the pictures in docs/.

    python benchmarks/report_page.py [--trials 3 60 1000]
    python benchmarks/report_page.py --images docs/images

The first makes up sweeps of so many trials (random curves, seven parameters, pruned and diverged ones among them) and
opens each report five times in a fresh profile. The second runs real sweeps with train.py in a temporary folder (a
search with pruning, a grid of three losses and two optimizers, a search with two objectives) and takes pictures of
their reports and of `phalanx compare --figure`. It needs Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SWEEPS = {
    "search": [
        "hydra/sweeper=optuna", "hydra.sweeper.study_name=search", "hydra.sweeper.n_trials=60",
        "hydra.sweeper.n_jobs=8", "hydra/sweeper/pruner=median", "hydra.sweeper.sampler.seed=0",
        "optimizer=sgd,adam", "model=mlp2,mlp3,mlp4",
        "optimizer.lr=tag(log,interval(0.0003,3))", "model.dropout=interval(0,0.6)",
    ],
    "grid": ["loss=nll,cross_entropy,mse", "optimizer=sgd,adam", "seed=range(10)", "trainer.epochs=12",
             "hydra.sweep.dir=outputs/sweeps/grid"],
    "front": [
        "hydra/sweeper=optuna", "hydra.sweeper.study_name=front", "hydra.sweeper.n_trials=40", "hydra.sweeper.n_jobs=8",
        "objective=[val_accuracy,n_parameters]", "hydra.sweeper.sampler.seed=0", "model.width=range(4,129,4)",
        "optimizer.lr=tag(log,interval(0.0003,0.3))", "trainer.epochs=10",
    ],
}  # fmt: skip
FLAGS = ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
         "disable-component-update", "disable-sync", "hide-scrollbars")  # fmt: skip
# Name, sweep, width, height, dark?, the heading that is scrolled to.
PICTURES = (
    ("report-search", "search", 1280, 1560, False, "History and learning curves"),
    ("report-phone-dark", "search", 390, 1600, True, "History and learning curves"),
    ("report-grid", "grid", 1280, 900, False, "Groups of seeds"),
    ("report-front", "front", 1280, 700, False, "Pareto front"),
)


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Any]:
    """A browser of that window size with a profile of its own."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        try:
            yield driver
        finally:
            driver.quit()


def made_up(folder: Path, n_trials: int) -> None:
    """A sweep's folder with random trials."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.run_folders import config, result, write_run

    draw = random.Random(0)
    for number in range(n_trials):
        lr, dropout, decay = 10 ** draw.uniform(-4, 0), draw.uniform(0, 0.6), 10 ** draw.uniform(-6, -2)
        value = max(0.1, 0.98 - 0.05 * (math.log10(lr) + 2) ** 2 - 0.1 * dropout**2 - 0.02 * draw.random())
        status = draw.choices(["completed", "pruned", "diverged"], [0.6, 0.35, 0.05])[0]
        n_epochs = draw.randint(2, 12) if status == "pruned" else 20
        curve = [value - (value - 0.1) * math.exp(-epoch / 3) - 0.01 * draw.random() for epoch in range(n_epochs)]
        begin = number // 16 * 3.0 + draw.random()
        timing = {"started": begin, "ended": begin + 2, "cohort": f"c{number // 16}"}
        error = "the loss became NaN in epoch 3" if status == "diverged" else None
        overrides = [f"optimizer.lr={lr}", f"model.dropout={dropout}", f"optimizer.weight_decay={decay}",
                     f"model=mlp{draw.randint(2, 4)}", f"optimizer={draw.choice(['sgd', 'adam'])}",
                     f"model.width={2 ** draw.randint(3, 8)}", f"loss={draw.choice(['nll', 'mse'])}"]  # fmt: skip
        content = result(value, 0, status, timing=timing, error=error)
        write_run(folder / str(number), content, config(), overrides, curve)


def opening(path: Path) -> float:
    """Seconds until the page is loaded and laid out, as the browser measures them."""
    with chromium() as driver:
        driver.get(path.as_uri())
        return driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000


def measure(sizes: list[int]) -> None:
    """Prints the table."""
    from phalanx.report.build import write_report

    print(f"{date.today()}\n\n| trials | written in, s | size, MB | opened in, s |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        made_up(Path(scratch) / "warm", 40)
        write_report(Path(scratch) / "warm")  # what imports cost is not counted
        for n_trials in sizes:
            folder = Path(scratch) / str(n_trials)
            made_up(folder, n_trials)
            begin = time.process_time()
            path = write_report(folder)
            seconds = time.process_time() - begin
            times = [opening(path) for _ in range(5)]
            spread = f"{statistics.median(times):.2f} ({min(times):.2f}-{max(times):.2f})"
            print(f"| {n_trials:,} | {seconds:.1f} | {path.stat().st_size / 1e6:.2f} | {spread} |", flush=True)


def images(target: Path) -> None:
    """Runs the sweeps and takes the pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        for arguments in SWEEPS.values():
            command = [sys.executable, str(ROOT / "train.py"), "-m", "tracking=none", *arguments]
            subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        sweeps = Path(scratch) / "outputs" / "sweeps"
        for name, sweep, width, height, dark, heading in PICTURES:
            with chromium(width, height, dark) as driver:
                driver.get((sweeps / sweep / "report.html").as_uri())
                find = "[...document.querySelectorAll('h2')].find(h => h.textContent == arguments[0])"
                driver.execute_script(f"{find}.scrollIntoView()", heading)
                picture = target / f"{name}.png"
                driver.save_screenshot(str(picture))
            smaller(picture)
        grid, figure = str(sweeps / "grid"), target / "compare.png"
        command = [str(Path(sys.executable).parent / "phalanx"), "compare", grid, "--by", "loss,optimizer"]
        subprocess.run([*command, "--figure", str(figure)], check=True)
        smaller(figure)


def smaller(picture: Path) -> None:
    """The same picture in 128 colours."""
    from PIL import Image

    Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)
    print(json.dumps({picture.name: f"{picture.stat().st_size / 1e3:.0f} kB"}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[3, 60, 1000])
    parser.add_argument("--images", metavar="FOLDER", type=Path, help="take the pictures for docs/ instead")
    arguments = parser.parse_args()
    if arguments.images is None:
        measure(arguments.trials)
    else:
        arguments.images.mkdir(parents=True, exist_ok=True)
        images(arguments.images.resolve())


if __name__ == "__main__":
    main()

"""What a person sees in `mlflow ui`, started with no flags in a folder where runs were tracked."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from phalanx import tracking
from phalanx.result import EpochMetrics, Status
from phalanx.tracking import RunRecord, TrackingSpec, tracker
from phalanx.tracking.guard import DEFAULTS

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WAIT_S = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


def run_folder(root, name):
    """A run folder with a plot in it."""
    from PIL import Image

    folder = root / "outputs" / name
    (folder / "plots").mkdir(parents=True)
    Image.new("RGB", (320, 200), (200, 40, 40)).save(folder / "plots" / "learning_curves.png")
    (folder / "result.json").write_text("{}\n")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def log_run(follow, root, number, parent=None, loss="cross_entropy"):
    best = 0.80 + 0.03 * number
    name = f"trial {number}" if parent else "single-run"
    history = [
        EpochMetrics(e, 2 / e, 1 - 1 / e, 0.5, 2.2 / e, best - 0.4 / e, 0.4, 0.1 * 0.9**e, 0.2) for e in range(1, 21)
    ]
    record = RunRecord(
        name=name,
        params={"optimizer.lr": 0.1 / (number + 1), "model.hidden": (50, 20), "loss.name": loss, "seed": number},
        metrics={"val_accuracy": best, "val_loss": 0.11, "test_accuracy": best - 0.01, "best_epoch": 20},
        history=history,
        tags={"phalanx.trial": str(number)},
        status=Status.COMPLETED,
        folder=run_folder(root, name),
        parent=parent,
        start_ms=int(time.time() * 1000) - 4000,
        end_ms=int(time.time() * 1000),
    )
    run_id = follow.log_run(record)
    if parent:
        follow.attach(run_id, record.folder)
    return run_id


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with one single run and a sweep of three trials, and MLflow's page on it."""
    root = tmp_path_factory.mktemp("site")
    with contextlib.chdir(root), pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", *DEFAULTS):
            patch.setenv(name, "")
            patch.delenv(name)
        tracking.store._tracker.cache_clear()
        follow = tracker(TrackingSpec())
        single = log_run(follow, root, 4)
        parent = follow.start_sweep("three losses", {})
        losses = ("nll", "cross_entropy", "mse")
        children = [log_run(follow, root, i, parent, loss) for i, loss in enumerate(losses)]
        follow.end_sweep(parent, "completed", {"val_accuracy": 0.86}, root, {"loss.name": "mse"})
        with serving(root) as url:
            yield SimpleNamespace(root=root, url=url, single=single, parent=parent, children=children, experiment="1")


@contextlib.contextmanager
def serving(root):
    """`mlflow ui` in a process group of its own, which is ended with all its workers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    plain = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with open(root / "server.log", "w") as log:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("mlflow"), "ui", "--port", str(port)],
            cwd=root,
            env={**plain, **DEFAULTS},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(url, server, root / "server.log")
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def wait_for(url, server, log):
    for _ in range(WAIT_S * 4):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        if server.poll() is not None:
            break
        time.sleep(0.25)
    pytest.fail(f"mlflow ui did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    quiet = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
    profile = tmp_path_factory.mktemp("profile")
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", *quiet):
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=2300,1200")
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(WAIT_S)
    yield driver
    driver.quit()


class Page:
    """One browser tab, looked at and clicked like a person does; every wait is bounded."""

    def __init__(self, driver, shots):
        self.driver, self.shots = driver, shots

    def open(self, address):
        self.driver.get("about:blank")  # the address differs after its # only, which alone loads nothing
        self.driver.get(address)

    def text(self):
        return self.driver.execute_script("return document.body.innerText")

    def until(self, condition, what):
        """Waits for a true value and returns it; a screenshot shows what there was instead."""
        from selenium.common.exceptions import WebDriverException

        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with contextlib.suppress(WebDriverException, ValueError):  # the page is being redrawn
                if found := condition():
                    return found
            time.sleep(0.25)
        self.shoot("failed")
        pytest.fail(f"not on the page after {WAIT_S} s: {what}; there was:\n{self.text()[:3000]}")

    def see(self, *texts):
        for text in texts:
            self.until(lambda text=text: text in self.text(), text)

    def find(self, selector):
        return self.driver.find_elements("css selector", selector)

    def click(self, selector, text=""):
        """Clicks the first visible element that matches the selector and reads `text`, if that is given."""

        def clicked():
            shown = (e for e in self.find(selector) if e.is_displayed() and text in ("", e.text.strip()))
            element = next(shown, None)
            if element is not None:
                element.click()
            return element is not None

        self.until(clicked, f"{selector} {text}")

    def shoot(self, name):
        self.driver.save_screenshot(str(self.shots / f"{name}.png"))


@pytest.fixture
def page(browser, tmp_path):
    return Page(browser, tmp_path)


def test_experiment_shows_the_sweep_its_trials_and_their_accuracy(site, page):
    page.open(site.url)
    page.click("span, button", "Model training")
    page.click("a", "phalanx")
    page.see("three losses", "single-run", "5 matching runs")
    assert "trial 0" not in page.text()
    page.shoot("collapsed")
    page.click("[col-id='attributes.`Run Name`'] button")
    page.see("trial 0", "trial 1", "trial 2")
    page.click("button", "Columns")
    page.click("[title='val_accuracy']")
    page.click("h1, h2", "Runs")
    column = "[role=gridcell][col-id$='-val_accuracy'], [role=gridcell][col-id$='`val_accuracy`']"
    wanted = [0.8, 0.83, 0.86, 0.86, 0.92]  # the trials, the sweep as its best trial, the single run
    page.until(lambda: sorted(round(float(c.text), 4) for c in page.find(column)) == wanted, f"val_accuracy {wanted}")
    page.shoot("expanded")


def test_run_page_shows_params_metrics_curves_and_how_to_load(site, page):
    address = f"{site.url}/#/experiments/{site.experiment}/runs/{site.single}"
    page.open(address)
    page.see("single-run", "Finished", "completed after 20 epochs", "phalanx.folder", "outputs/single-run")
    page.see("val_accuracy", "0.92", "epoch/val_accuracy", "0.9")
    page.see("optimizer.lr", "0.02", "model.hidden", "[50,20]", "loss.name", "cross_entropy")
    page.click("button", "Show more")
    page.see("load_model('outputs/single-run')")
    page.shoot("run")
    page.open(f"{address}/model-metrics")
    page.see("epoch/val_accuracy")
    page.until(lambda: page.find(".js-plotly-plot .scatterlayer .point"), "the points of a curve")
    page.shoot("curves")


def test_two_trials_are_compared(site, page):
    runs = "[" + ",".join(f'"{run_id}"' for run_id in site.children[:2]) + "]"
    page.open(f'{site.url}/#/compare-runs?runs={runs}&experiments=["{site.experiment}"]')
    page.see("Comparing 2 Runs", "trial 0", "trial 1", "loss.name", "nll", "cross_entropy", "val_accuracy", "0.83")
    page.shoot("compare")


@pytest.mark.parametrize("which", ["single", "best trial"])
def test_artifacts_list_the_plots_and_show_one(site, page, which):
    run_id = site.single if which == "single" else site.children[2]
    page.open(f"{site.url}/#/experiments/{site.experiment}/runs/{run_id}/artifacts")
    page.see("model.safetensors", "result.json", "plots")
    page.click("div, span, a", "plots")
    page.click("div, span, a", "learning_curves.png")
    width = "return [...document.images].some(image => image.naturalWidth === 320)"
    page.until(lambda: page.driver.execute_script(width), "the plot")
    page.shoot("artifacts")


def test_runs_can_be_logged_through_the_server(site, capfd):
    from mlflow import MlflowClient

    follow = tracker(TrackingSpec(uri=site.url, experiment="over http"))
    parent = follow.start_sweep("remote", {})
    run_id = log_run(follow, site.root, 5, parent, loss="é" * 7000)
    follow.end_sweep(parent, "completed", {"val_accuracy": 0.95}, site.root)
    client = MlflowClient(site.url)
    run = client.get_run(run_id)
    assert (run.info.status, run.data.metrics["val_accuracy"]) == ("FINISHED", pytest.approx(0.95))
    assert run.data.params["loss.name"] == "é" * 5999 + "…"
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert len(client.get_metric_history(run_id, "epoch/val_loss")) == 20
    assert [file.path for file in client.list_artifacts(run_id, "plots")] == ["plots/learning_curves.png"]
    assert client.get_run(parent).info.status == "FINISHED"
    assert capfd.readouterr() == ("", "")

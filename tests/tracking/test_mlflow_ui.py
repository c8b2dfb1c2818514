"""What a person sees in `mlflow ui`, started with no flags in a folder where runs were tracked."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from support import mlflow_page
from support.mlflow_page import CHROMIUM, DRIVER, Page
from support.mlflow_servers import Server
from support.tracking_records import METRICS, PATIENT, by_key, run_folder, sweep_folder, synced, without_variables

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with one single run and a sweep of three trials, delivered, and MLflow's page on it."""
    root = tmp_path_factory.mktemp("site")
    with contextlib.chdir(root), pytest.MonkeyPatch.context() as patch:
        without_variables(patch)
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        single = with_plot(run_folder(root / "outputs" / "single-run", 20, metrics=numbers(0.92)))
        sweep = sweep_folder(root / "outputs" / "three losses", metrics=numbers(0.86))
        for number, loss in enumerate(("nll", "cross_entropy", "mse")):
            value = numbers(round(0.80 + 0.03 * number, 2))
            with_plot(run_folder(sweep / str(number), 20, weights=number == 2, loss=loss, metrics=value))
        other = sweep_folder(root / "outputs" / "other", 1, metrics=numbers(0.5))
        places = {folder.name: synced(folder)[0].place for folder in (single, other, sweep)}
        with Server(root, "ui") as server:
            client = client_of(server.url)
            experiment = client.get_experiment_by_name("phalanx").experiment_id
            runs = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}
            tracked = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{runs['three losses']}'")
            children = [run.info.run_id for run in sorted(tracked, key=lambda run: run.info.run_name)]
            yield SimpleNamespace(
                root=root, url=server.url, single=runs["single-run"], parent=runs["three losses"], children=children,
                experiment=experiment, places=places,
            )  # fmt: skip


def client_of(url):
    from mlflow import MlflowClient

    return MlflowClient(url)


def numbers(value):
    return {**METRICS, "val_accuracy": value, "val_loss": 0.11, "test_accuracy": value - 0.01}


def with_plot(folder):
    from PIL import Image

    (folder / "plots").mkdir(exist_ok=True)
    Image.new("RGB", (320, 200), (200, 40, 40)).save(folder / "plots" / "learning_curves.png")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with mlflow_page.browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(driver, tmp_path):
    return Page(driver, tmp_path)


def test_experiment_shows_the_sweep_its_trials_and_their_accuracy(site, page):
    page.open(site.url)
    page.click("span, button", "Model training")
    page.click("a", "phalanx")
    page.see("three losses", "single-run", "7 matching runs")
    assert "trial 0" not in page.text()
    page.shoot("collapsed")
    page.unfold()
    page.see("trial 0", "trial 1", "trial 2")
    page.column("val_accuracy")
    column = "[role=gridcell][col-id$='-val_accuracy'], [role=gridcell][col-id$='`val_accuracy`']"
    wanted = [0.8, 0.83, 0.86, 0.9, 0.9, 0.92]  # the trials, the sweeps as their best trials, the single run
    page.until(lambda: sorted(round(float(c.text), 4) for c in page.find(column)) == wanted, f"val_accuracy {wanted}")
    page.shoot("expanded")


def listed(page):
    """The names in the table of runs, which is drawn when it is known which there are."""
    return {name.text for name in page.find("[role=gridcell] a[href*='/runs/']")}


def test_the_link_of_a_sweep_opens_its_runs_and_no_other(site, page):
    page.open(f"{site.url}/{site.places['three losses'].path}")
    page.see("three losses", "4 matching runs")
    assert "single-run" not in page.text()
    if "trial 0" not in page.text():  # the page remembers what was unfolded
        page.unfold()
    page.until(lambda: listed(page) == {"three losses", "trial 0", "trial 1", "trial 2"}, "the runs of the sweep")
    assert site.places["three losses"].lines[0] == "mlflow: sqlite:///mlflow.db, experiment phalanx, run three losses"
    assert site.places["three losses"].command == "mlflow ui --backend-store-uri sqlite:///mlflow.db"
    page.shoot("link")


def test_the_link_of_a_run_opens_it(site, page):
    page.open(f"{site.url}/{site.places['single-run'].path}")
    page.see("single-run", "completed after 20 epochs", "Model registry")  # which the mode of traces does not have
    page.shoot("link_run")


def test_the_notes_lead_to_the_same_pages(site, page):
    page.open(f"{site.url}/#/experiments/{site.experiment}/runs?workflowType=machine_learning")
    page.see("Open the list of runs")
    (link,) = [a.get_attribute("href") for a in page.find("a") if a.text == "Open the list of runs"]
    page.open(link)
    page.see("7 matching runs")
    page.open(f"{site.url}/#/experiments/{site.experiment}/runs/{site.parent}")
    page.until(lambda: [a for a in page.find("a") if a.text == "The trials of this sweep"], "the link in the note")
    (link,) = [a.get_attribute("href") for a in page.find("a") if a.text == "The trials of this sweep"]
    page.shoot("sweep_run")
    page.open(link)
    page.see("three losses", "4 matching runs")


def test_run_page_shows_params_metrics_curves_and_how_to_load(site, page):
    address = f"{site.url}/#/experiments/{site.experiment}/runs/{site.single}"
    page.open(address)
    page.see("single-run", "Finished", "completed after 20 epochs", "phalanx.folder", "outputs/single-run")
    page.see("val_accuracy", "0.92", "epoch/val_accuracy", "0.9")
    page.see("optimizer.lr", "1e-05", "model.hidden", "[50,20]", "loss.name", "mse")
    page.click("button", "Show more")
    page.see("load_model('outputs/single-run')")
    page.shoot("run")
    page.open(f"{address}/model-metrics")
    page.see("epoch/val_accuracy")
    page.until(lambda: page.find(".js-plotly-plot .scatterlayer .point"), "the points of a curve")
    page.shoot("curves")


def test_two_trials_are_compared(site, page):
    page.compare(site.url, site.experiment, site.children[:2])
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


def test_trials_are_lines_of_a_parallel_coordinates_plot(site, page):
    page.compare(site.url, site.experiment, site.children)
    page.see("Parallel Coordinates Plot", "trial 2")
    page.until(lambda: page.find(".js-plotly-plot .parcoords"), "the plot")
    page.shoot("parallel")


def test_runs_can_be_delivered_through_the_server(site, capfd):
    folder = site.root / "outputs" / "remote"
    sweep_folder(folder, 1, loss="é" * 7000)
    with_plot(folder / "0")
    assert synced(folder, uri=site.url, experiment="over http")[1] == 0
    client = client_of(site.url)
    runs = by_key(client, "over http")
    run_id = runs["0"].info.run_id
    assert (runs["0"].info.status, runs[""].info.status) == ("FINISHED", "FINISHED")
    assert runs["0"].data.params["loss.name"] == "é" * 5999 + "…"
    assert runs["0"].data.tags["mlflow.parentRunId"] == runs[""].info.run_id
    assert len(client.get_metric_history(run_id, "epoch/val_loss")) == 3
    assert [file.path for file in client.list_artifacts(run_id, "plots")] == [
        "plots/curves.png",
        "plots/learning_curves.png",
    ]
    assert capfd.readouterr() == ("", "")

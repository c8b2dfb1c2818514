"""The tables of a grid over folds in its report."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest
from support.run_folders import config, result, write_run

from phalanx.report.build import write_report

N_FOLDS, N_SEEDS = 4, 3
RNG = np.random.default_rng(0)
ACCURACIES = {loss: 0.8 + 0.1 * RNG.random((N_FOLDS, N_SEEDS)) for loss in ("mse", "nll")}


def grid(root: Path, n_seeds: int = N_SEEDS) -> Path:
    """A sweep over folds and seeds of two losses."""
    number = 0
    for loss, values in ACCURACIES.items():
        for fold in range(N_FOLDS):
            for seed in range(n_seeds):
                data = {"data__resampling": "kfold", "data__folds": N_FOLDS, "data__fold": fold}
                typed = [f"loss={loss}", f"data.fold={fold}", f"seed={seed}"]
                content = result(values[fold, seed], seed, data=f"d{fold}", test=0.5)
                write_run(root / str(number), content, config(seed, loss=loss, **data), typed)
                number += 1
    return root


def table(page: str, title: str) -> list[list[str]]:
    """The cells of the first table behind a heading."""
    found = page[page.index(title) :].split("<table", 1)[1].split("</table>", 1)[0]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html.unescape(row)) for row in found.split("<tr>")[1:]]


def test_values_by_fold_and_the_spread_by_source(tmp_path: Path) -> None:
    page = write_report(grid(tmp_path)).read_text()
    by_fold = table(page, "<h4>val_accuracy, % by fold")
    assert by_fold[0] == ["group", *(f"fold {fold}" for fold in range(N_FOLDS))]
    spread = table(page, "<h4>Spread of val_accuracy by source, points")
    assert spread[0] == ["group", "between folds", "between seeds", "trained"]
    for values_row, spread_row in zip(by_fold[1:], spread[1:], strict=True):
        x_FS = 100 * ACCURACIES[values_row[0]]
        assert values_row[1:] == [f"{mean:.2f}" for mean in x_FS.mean(1)]
        covariance_SS = np.cov(x_FS.T)
        of_folds = covariance_SS[~np.eye(N_SEEDS, dtype=bool)].mean()
        of_seeds = x_FS.var(1, ddof=1).mean()
        expected = [f"{max(0, variance) ** 0.5:.2f}" for variance in (of_folds, of_seeds)]
        assert spread_row == [values_row[0], *expected, "4 folds × 3 seeds"]


def test_one_seed_has_values_by_fold_and_no_sources(tmp_path: Path) -> None:
    page = write_report(grid(tmp_path, 1)).read_text()
    assert table(page, "<h4>val_accuracy, % by fold")[1:]
    assert "by source" not in page


@pytest.mark.parametrize("damage", [False, True])
def test_out_of_fold_metrics_are_shown(tmp_path: Path, damage: bool) -> None:
    text = "trials,rows,accuracy,likelihood,loss,override.seed\n0 1,150,0.9,0.8125,<b>,0\n2 3,150,,0.5,nll,0\n"
    (grid(tmp_path, 1) / "oof_metrics.csv").write_text(text + "x\n" * damage)
    page = write_report(tmp_path).read_text()
    assert ("<h2>Out-of-fold predictions" in page) is not damage
    if not damage:
        header, *rows = table(page, "<h2>Out-of-fold predictions")
        assert header == ["setting", "rows", "accuracy", "likelihood"]
        assert rows == [["loss=<b>", "150", "0.9000", "0.8125"], ["loss=nll", "150", "–", "0.5000"]]
        assert "<b>" not in page.split("<h2>Out-of-fold")[1].split("</section>")[0]

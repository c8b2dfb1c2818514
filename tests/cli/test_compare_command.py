"""`phalanx compare`: its messages and the files that it writes."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from support.comparisons import A, B, scaled_ttest
from support.run_folders import result, write_grid, write_run

from phalanx.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ([], ["nothing to compare"]),
        (["absent", "empty"], ["absent is not a folder", "empty holds no results"]),
        (["g", "--by", "lozz,seed,name"], ["lozz is not a key", "loss.name", "seed is what", "name could be data.name,"]),
        (["g", "--by", "lozz", "--metric", "foo"], ["lozz", "--metric foo is in none", "test_accuracy"]),
        (["g", "--by", "loss", "--baseline", "foo"], ["--baseline 'foo' is not one of the groups", "'mse'"]),
        (["g", "--where", "loss"], ["--where loss has no ="]),
        (["g", "--figure", "a.gif", "--csv", "empty"], ["must end in .png or .svg", "--csv empty is a folder"]),
        (["failed"], ["none of the 1 runs was completed (they are failed)"]),
        (["damaged"], ["damaged/result.json is damaged"]),
        (["other"], ["is not a result of this version"]),
        (["noconfig"], ["config.yaml is gone"]),
    ],
)  # fmt: skip
def test_a_wrong_request_says_everything_and_ends_with_2(tmp_path, monkeypatch, capsys, arguments, texts):
    monkeypatch.chdir(tmp_path)
    write_grid(tmp_path / "g", {"mse": B, "nll": A})
    (tmp_path / "empty").mkdir()
    for name in ("failed", "damaged", "other", "noconfig"):
        write_run(tmp_path / name, result(status="failed" if name == "failed" else "completed"))
    (tmp_path / "damaged" / "result.json").write_text('{"status"')
    (tmp_path / "other" / "result.json").write_text('{"status": 3}')
    (tmp_path / "noconfig" / "config.yaml").unlink()
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for text in texts:
        assert text in error


def test_a_result_that_cannot_be_read_is_named_and_the_status_says_that_it_is_missing(tmp_path, capsys):
    folder = write_grid(tmp_path / "g", {"nll": A, "mse": B})
    (folder / "3" / "result.json").write_text('{"status"')
    assert main(["compare", str(folder), "--by", "loss", "--csv", str(tmp_path / "t.csv")]) == 1
    captured = capsys.readouterr()
    assert "3/result.json is damaged" in " ".join(captured.out.split())
    assert "all was compared but for 1 result that cannot be read" in captured.err
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 3


def test_tables_and_figure_are_written_and_odd_names_stay_text(tmp_path, capsys):
    odd = "a|b <script>*`\x1b[31m"
    folder = write_grid(tmp_path / "g", {odd: A, "mse": B})
    files = {kind: tmp_path / f"t.{kind}" for kind in ("csv", "md", "svg")}
    assert main(["compare", str(folder), "--by", "loss", "--csv", str(files["csv"]), "--markdown", str(files["md"]),
                 "--figure", str(files["svg"])]) == 0  # fmt: skip
    printed = capsys.readouterr().out
    assert "\x1b[31m" not in printed
    assert "beats mse by 1.9 points" in printed
    groups = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    assert [row["loss.name"] for row in groups] == ["a|b <script>*`\N{REPLACEMENT CHARACTER}[31m", "mse"]
    assert float(groups[1]["mean"]) == pytest.approx(100 * np.mean(list(B.values())))
    (pair,) = csv.DictReader(io.StringIO((tmp_path / "t_differences.csv").read_text()))
    assert float(pair["p"]) == pytest.approx(scaled_ttest(list(A.values()), list(B.values()), 0.001)[0])
    assert r"a\|b \<script\>\*\`" in files["md"].read_text()
    assert files["svg"].read_text().startswith("<?xml")

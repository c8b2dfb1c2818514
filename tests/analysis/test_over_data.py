"""`phalanx compare --over data`: values of each data set, sentences, tables, figure and messages."""

from __future__ import annotations

import contextlib
import csv
import io

import numpy as np
import pytest
from scipy import stats
from support.comparisons import compared
from support.run_folders import config, result, write_run

from phalanx.analysis.compare import with_over_data
from phalanx.analysis.compare.tables import differences_csv, groups_csv, markdown
from phalanx.cli.main import main
from phalanx.report.run_figures.critical_difference import draw_critical_difference

NAMES = ["iris", "glass", "letter", "sonar", "vehicle", "vowel", "yeast", "zoo"]
EFFECT = {"nll": 0.0, "mse": -0.03, "huber": -0.001}


def value(name, loss, seed):
    place = NAMES.index(name)
    return round(0.6 + 0.04 * place + EFFECT[loss] + 0.001 * ((3 * place + seed + len(loss)) % 4), 4)


def on_data_sets(root, names=NAMES, losses=("nll", "mse", "huber"), seeds=range(2), skip=(), **changes):
    """Runs of some losses on several data sets."""
    number = 0
    for name in names:
        for loss in losses:
            for seed in seeds:
                if (name, loss) not in skip:
                    found = value(name, loss, seed)
                    cfg = config(seed, data=name, loss=loss, **changes)
                    write_run(root / str(number), result(found, seed, test=found, data=name), cfg)
                number += 1
    return root


def means(loss, names=NAMES, seeds=range(2)):
    return [100 * np.mean([value(name, loss, seed) for seed in seeds]) for name in names]


def test_groups_are_tested_by_friedman_and_nemenyi_over_their_means_on_each_data_set(tmp_path):
    found = with_over_data(compared(on_data_sets(tmp_path), "loss"))
    over = found.over
    assert over.data == tuple(NAMES)
    for loss, values in over.values.items():
        assert values == pytest.approx(means(loss))
    rounded = [np.round(means(loss), 6) for loss in over.values]
    assert over.ranks.p == pytest.approx(stats.friedmanchisquare(*rounded).pvalue)
    assert over.sentences[0].startswith("the 3 groups differ over data sets (8 data sets, Friedman, p = ")
    assert "beats mse over data sets: mean rank" in over.sentences[1]
    assert (
        over.sentences[-1] == "no difference shown in 1 pair over data sets: their mean ranks differ by less than 1.17"
    )
    assert [group.label for group in over.groups] == sorted(over.values, key=lambda loss: over.ranks.mean_ranks[loss])


def test_two_groups_are_tested_by_wilcoxon(tmp_path):
    over = with_over_data(compared(on_data_sets(tmp_path, losses=("nll", "mse")), "loss")).over
    p = stats.wilcoxon(np.round(np.subtract(means("nll"), means("mse")), 6)).pvalue
    (text,) = over.sentences
    assert text.startswith(
        "nll beats mse over data sets: mean rank 1.00 against 2.00, better on 8 of 8 data sets, worse"
    )
    assert f"(Wilcoxon, p = {p:.2g})" in text


def test_only_repeats_that_all_groups_have_count(tmp_path):
    on_data_sets(tmp_path, losses=("nll", "mse"))
    write_run(tmp_path / "900", result(0.1, 9, test=0.1, data="iris"), config(9, data="iris", loss="nll"))
    over = with_over_data(compared(tmp_path, "loss")).over
    assert over.values["nll"] == pytest.approx(means("nll"))


def test_parts_of_one_data_set_are_one_repeat(tmp_path):
    """Other sizes are compared apart, but are no other data set."""
    on_data_sets(tmp_path, losses=("nll", "mse"))
    for number, loss in enumerate(("nll", "mse"), 900):
        cfg = config(0, data="iris", loss=loss, data__n_val=50)
        write_run(tmp_path / str(number), result(0.5, 0, test=0.5, data="small"), cfg)
    found = with_over_data(compared(tmp_path, "loss"))
    assert len(found.parts) == 9
    assert found.over.data[1:] == tuple(NAMES[1:])
    assert found.over.values["nll"][0] == pytest.approx((50 + means("nll")[0]) / 2)


def test_a_diverged_run_costs_the_win(tmp_path):
    on_data_sets(tmp_path, losses=("nll", "mse"))
    write_run(tmp_path / "900", result(seed=9, status="diverged", data="zoo"), config(9, data="zoo", loss="nll"))
    (text,) = with_over_data(compared(tmp_path, "loss")).over.sentences
    assert text.startswith("nll is no winner over mse over data sets: ")
    assert text.endswith("; nll: of 17 runs 1 diverged")


def test_few_data_sets_say_so(tmp_path):
    folder = on_data_sets(tmp_path, NAMES[:4], losses=("nll", "mse"))
    (text,) = with_over_data(compared(folder, "loss")).over.sentences
    assert text == "not enough data sets to tell the groups apart: 4, at least 6 are needed"


def test_tables_have_the_ranks(tmp_path):
    found = with_over_data(compared(on_data_sets(tmp_path), "loss"))
    rows = [row for row in csv.DictReader(io.StringIO(groups_csv(found))) if row["data"] == "over 8 data sets"]
    assert {row["loss.name"]: float(row["mean"]) for row in rows} == pytest.approx(found.over.ranks.mean_ranks)
    assert {(row["metric"], row["n"], row["repeats"], row["n_runs"]) for row in rows} == {
        ("mean rank", "8", "data sets", "16")
    }
    pairs = [row for row in csv.DictReader(io.StringIO(differences_csv(found))) if row["data"] == "over 8 data sets"]
    for row, d in zip(pairs, found.over.ranks.differences, strict=True):
        assert float(row["p_adjusted"]) == pytest.approx(d.p_adjusted)
        assert (float(row["low"]) > 0 or float(row["high"]) < 0) == (d.p_adjusted < 0.05)
    text = markdown(found)
    assert "| group | data sets | mean rank |" in text
    assert "| iris |" in text


def test_the_figure_has_every_group_a_bar_and_the_critical_difference(tmp_path):
    over = with_over_data(compared(on_data_sets(tmp_path / "all"), "loss")).over
    axes = draw_critical_difference(over).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert any(text == "critical difference 1.17" for text in texts)
    for loss, rank in over.ranks.mean_ranks.items():
        assert any(loss in text and f"{rank:.2f}" in text for text in texts)
    bars = [line for line in axes.lines if line.get_linewidth() == 4]
    close = sorted(over.ranks.mean_ranks[loss] for loss in ("nll", "huber"))
    assert [list(line.get_xdata()) for line in bars] == [pytest.approx(close)]
    few = with_over_data(compared(on_data_sets(tmp_path / "few", NAMES[:4], losses=("nll", "mse")), "loss")).over
    axes = draw_critical_difference(few).axes[0]
    assert "too few to test" in axes.get_title()
    assert not any(line.get_linewidth() == 4 for line in axes.lines)


def test_bad_requests_say_what_is_missing_and_end_with_2(tmp_path, capsys):
    hole = on_data_sets(tmp_path / "hole", skip=[("iris", "mse"), ("zoo", "huber")])
    one = on_data_sets(tmp_path / "one", NAMES[:1])
    alone = on_data_sets(tmp_path / "alone", losses=("nll",))
    full = on_data_sets(tmp_path / "all", NAMES[:2])
    apart = on_data_sets(tmp_path / "apart", NAMES[:2], losses=("nll",))
    for number, name in enumerate(NAMES[:2]):
        write_run(apart / f"{90 + number}", result(0.5, 7, test=0.5, data=name), config(7, data=name, loss="mse"))
    for folder, more, texts in (
        (hole, ["--over", "data"], ["mse has no value on iris", "huber has no value on zoo", "train what is missing"]),
        (one, ["--over", "data"], ["needs two data sets or more, these runs have one (iris)", "data=digits,wine"]),
        (alone, ["--over", "data"], ["needs two groups or more"]),
        (full, ["--over", "data", "--metric", "val_loss"], ["on iris val_loss may mean something else", "--metric"]),
        (apart, ["--over", "data"], ["on iris the groups share no split and seed"]),
        (hole, ["--over", "model"], ["--over", "'model'", "data"]),
        (hole, ["--relevant", "-0.5"], ["--relevant", "must be a number above 0, got '-0.5'"]),
    ):
        with pytest.raises(SystemExit, match="2") if more[1] != "data" else contextlib.nullcontext():
            assert main(["compare", str(folder), "--by", "loss", *more]) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        for text in texts:
            assert text in error


def test_the_command_prints_the_parts_and_then_the_ranks(tmp_path, capsys):
    folder = on_data_sets(tmp_path / "g")
    figure = tmp_path / "ranks.svg"
    assert main(["compare", str(folder), "--by", "loss", "--over", "data", "--figure", str(figure)]) == 0
    printed = capsys.readouterr().out
    assert printed.index("zoo: test_accuracy, % by loss") < printed.index("mean rank")
    assert "the 3 groups differ over data sets" in printed
    assert figure.read_text().startswith("<?xml")

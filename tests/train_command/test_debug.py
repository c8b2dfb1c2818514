"""The rescue kits `debug=limit` and `debug=overfit` work with every data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image
from support.places import MNIST_ROOT, ROOT

from phalanx.data import DATASETS, load_dataset
from phalanx.runs.config import register_resolvers, trial_spec
from phalanx.training.loop import train_trial

SIZES = {"limit": (40, 20, 20), "overfit": (64, 1, None)}
ALL_EPOCHS = {"thresholds"}  # the others are through after 200 of the kit's 1,000


def spec_of(data, debug, folder):
    """The spec of `data=… debug=…`, with what the data set cannot do without."""
    given = [f"data={data}", f"debug={debug}"]
    if data in ("csv", "parquet"):
        lines = [f"{i % 7},{i % 3 - i % 7},{'abc'[i % 3]}" for i in range(120)]
        (folder / "table.csv").write_text("\n".join(["x,y,class", *lines]) + "\n")
        pandas.read_csv(folder / "table.csv").to_parquet(folder / "table.parquet")
        given += [f"data.path={folder / 'table'}.{data}", "data.target=class"]
    if data == "image_folder":
        draw = np.random.default_rng(0)
        for number in range(120):
            pixels = draw.integers(0, 100, (6, 6)) + 75 * (number % 3)
            (place := folder / "images" / f"class {number % 3}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
        given += [f"data.path={folder / 'images'}"]
    if data == "npz":
        y = np.arange(120) % 3
        np.savez(folder / "arrays.npz", x=4 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(120, 3)), y=y)
        given += [f"data.path={folder / 'arrays.npz'}"]
    if name := getattr(DATASETS[data], "torchvision_name", None):  # its relatives are written like MNIST
        if not (raw := MNIST_ROOT / "MNIST" / "raw").is_dir():
            pytest.skip(f"the MNIST files are not in {MNIST_ROOT.name}/ beside the checkout")
        (folder / name).mkdir()
        (folder / name / "raw").symlink_to(raw)
        given += [f"data.root={folder}"]
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        return trial_spec(compose("config", given))


@pytest.mark.parametrize("debug", ["limit", "overfit"])
def test_a_rescue_kit_takes_less_of_a_small_table(debug, tmp_path):
    (tmp_path / "table.csv").write_text("x,class\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(50)))
    register_resolvers()
    given = ["data=csv", f"debug={debug}", f"data.path={tmp_path / 'table.csv'}", "data.target=class"]
    with initialize_config_dir(str(ROOT / "conf")):
        spec = trial_spec(compose("config", given))
    dataset = load_dataset(spec.data)
    sizes = {"limit": (32, 8, 10), "overfit": (39, 1, 10)}[debug]
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == sizes


@pytest.mark.parametrize("data", sorted(DATASETS))
@pytest.mark.parametrize("debug", sorted(path.stem for path in (ROOT / "conf" / "debug").glob("*.yaml")))
def test_every_rescue_kit_works_with_every_data_set(debug, data, tmp_path):
    spec = spec_of(data, debug, tmp_path)
    if debug == "overfit" and data not in ALL_EPOCHS:
        spec = replace(spec, trainer=replace(spec.trainer, epochs=200))
    dataset = load_dataset(spec.data)
    for split, n in zip((dataset.train, dataset.val, dataset.test), SIZES[debug], strict=True):
        assert n is None or len(split) == n
    result = train_trial(spec, dataset)
    assert result.status == "completed"
    if debug == "overfit":
        assert result.metrics.train_accuracy == 1

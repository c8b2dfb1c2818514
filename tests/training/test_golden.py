"""Per-epoch losses of one tiny run of each loss with each optimizer, as they were when `golden/losses.json` was made.

The oracle in `reference.py` says whether the trainer is right today; this says whether it gives what it gave before.
`make golden` writes the file anew: only after a change that is meant to change numbers, and with a line in CHANGELOG.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.datasets import blobs

from phalanx import LOSSES, MLP, OPTIMIZERS, TrainerSpec, TrialSpec
from phalanx.runs.provenance import versions
from phalanx.training.loop import train_trial

FILE = Path(__file__).parents[1] / "golden" / "losses.json"
TOLERANCE = 1e-4
WHY = (
    "relative; float32 sums in another order (another processor, torch or BLAS) differ in the seventh digit and 25 smooth "
    "updates amplify that little, while any change of a formula, an order or a seed shows in the first three"
)
OPTIONS = {"sampled_softmax": {"n_sampled": 2}}  # of three classes: with all it would be cross-entropy
CASES = {
    f"{loss} on {output}, {optimizer}": (loss, output, optimizer)
    for loss, cls in LOSSES.items()
    for output in cls.outputs
    for optimizer in OPTIMIZERS
}


def losses(loss: str, output: str, optimizer: str) -> dict[str, list[float]]:
    """Training and validation loss of five epochs on overlapping clouds, with tanh so that all is smooth."""
    spec = TrialSpec(
        loss=LOSSES[loss](output=output, **OPTIONS.get(loss, {})), optimizer=OPTIMIZERS[optimizer](), model=MLP(hidden=(8,), activation="tanh"),
        trainer=TrainerSpec(epochs=5, batch_size=20), seed=1,
    )  # fmt: skip
    history = train_trial(spec, blobs()).history
    return {"train": [row.train_loss for row in history], "val": [row.val_loss for row in history]}


def stored() -> dict:
    return json.loads(FILE.read_text())


def test_the_file_has_every_case_and_says_how_it_was_made():
    content = stored()
    assert set(content["runs"]) == set(CASES)
    assert content["versions"]["torch"]
    assert (content["tolerance"], content["why"]) == (TOLERANCE, WHY)


@pytest.mark.parametrize("case", CASES)
def test_every_loss_with_every_optimizer_gives_what_it_gave(case):
    found, before = losses(*CASES[case]), stored()["runs"][case]
    for split in ("train", "val"):
        assert found[split] == pytest.approx(before[split], rel=TOLERANCE), f"{split} losses of {case}"


def write() -> None:
    """The file, from what the trainer gives now; runs that agree with the file stay as another processor had them."""
    before = stored()["runs"] if FILE.exists() else {}
    runs = {}
    for case, options in CASES.items():
        found = losses(*options)
        same = case in before and all(
            found[split] == pytest.approx(before[case][split], rel=TOLERANCE) for split in found
        )
        runs[case] = before[case] if same else {k: [float(f"{x:.8g}") for x in v] for k, v in found.items()}
    content = {"versions": versions(), "tolerance": TOLERANCE, "why": WHY, "runs": runs}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    write()

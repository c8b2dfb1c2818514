"""Does a or b exceed the sum of the others? With and without an activation."""

from __future__ import annotations

from lab import Finding, Lab, by, interval, spread, table, values

from phalanx.sentences import sentence
from phalanx.statistics import compare

TITLES = {"relu": "ReLU between the layers", "identity": "none: one linear map"}


def measure(lab: Lab) -> Finding:
    sizes = ("100", "1000", "10000")
    trials = by(lab.sweep("data.n_train=" + ",".join(sizes)), "data.n_train", "model.activation")
    rows = [
        [f"{int(size):,}", TITLES[name], *(spread(values(found, f"{split}_accuracy")) for split in ("train", "test"))]
        for (size, name), found in trials.items()
    ]
    tests = {TITLES[a]: dict(enumerate(values(trials["1000", a], "test_accuracy"))) for a in TITLES}
    said = sentence(compare(tests, "maximize")[0])
    relu, linear = (values(trials["1000", a], "test_accuracy") for a in TITLES)
    text = table(("training points", "activation", "training accuracy", "test accuracy"), rows)
    answer = f"test accuracy with 1,000 points: {interval(linear)} for one linear map, {interval(relu)} with ReLU"
    return Finding(f"{text}\n\nWith 1,000 points: {said}.", answer)

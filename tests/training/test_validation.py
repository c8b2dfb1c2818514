"""The validation splits of trials of one stack: few passes, and the bits of each trial alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.datasets import blobs

from phalanx import LOSSES, MLP, TrainerSpec, TrialSpec
from phalanx.data import Split
from phalanx.nn.metrics.compute import Wanted
from phalanx.training import evaluation, validation
from phalanx.training.chunk import Chunk
from phalanx.training.evaluation import evaluate

WANTED = Wanted.of(["f1_macro", "auroc"])


def joined(sizes, losses=("cross_entropy", "mse")):
    """A chunk of trials with splits of so many samples, those of one number being one split, and the splits."""
    data, specs = blobs(n_train=50), []
    stream = torch.Generator().manual_seed(0)
    different = {
        name: Split(torch.randn(n, data.n_features, generator=stream), torch.arange(n) % data.n_classes)
        for name, n in dict.fromkeys(sizes)
    }
    splits = [different[name] for name, _ in sizes]
    for seed in range(len(sizes)):
        loss = LOSSES[losses[seed % len(losses)]]()
        specs.append(TrialSpec(seed=seed, loss=loss, model=MLP(hidden=(33, 5)), trainer=TrainerSpec(epochs=1)))
    chunk = Chunk(specs[0], data, torch.device("cpu"), test=False)
    chunk.join(specs, range(len(specs)), datasets=[replace(data, val=split) for split in splits])
    return chunk.stack, splits


@pytest.mark.parametrize("n", [1, 2, 20, 300, 1100])
@pytest.mark.parametrize("most", [1 << 22, 0])
def test_each_trial_has_the_scores_that_it_has_alone(n, most, monkeypatch):
    monkeypatch.setattr(validation, "LARGEST_NUMBERS", most)
    monkeypatch.setattr(evaluation, "CHUNK_NUMBERS", 1 << 17)  # three trials at once
    stack, splits = joined([("a", n), ("b", n + 1), ("c", n), ("a", n), ("d", n), ("e", n + 1)])
    passes = validation.Validation(splits, stack.loss, stack.device)
    places = [[0, 2, 3, 4], [1, 5]] if most else [[0, 3], [1], [2], [4], [5]]
    assert [one.places for one in passes.passes] == places
    for place, scores in enumerate(passes.scores(stack, WANTED)):
        own_TP, loss = stack.params_TP[place : place + 1], stack.loss.take([place])
        (alone,) = evaluate(stack.model, stack.layout, loss, own_TP, splits[place], wanted=WANTED)
        assert repr(scores.flat()) == repr(alone.flat())
        assert (scores.counts_3C == alone.counts_3C).all()

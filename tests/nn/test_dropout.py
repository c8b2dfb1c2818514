"""The factors of dropout: those of a CPU, computed for several steps at once, are those of single steps."""

from __future__ import annotations

import pytest
import torch

from phalanx.core.seeding import dropout_keys
from phalanx.nn.models import Dropout, cpu_factors, dropout

RATES = [0.0, 0.1, 0.5, 0.99999, 0.3]


def both(n_layers=2):
    """Masks as on a CPU, and by operations that a graph can repeat."""
    found = [Dropout(torch.tensor(RATES), [dropout_keys(range(5), layer) for layer in range(n_layers)]) for _ in "12"]
    found[1].in_graph = True
    return found


@pytest.mark.parametrize("piece", [1 << 17, 300, 20], ids="piece={}".format)
@pytest.mark.parametrize(("n_batch", "n_units"), [(9, 7), (1, 1), (3, 32)])
def test_factors_of_steps_ahead_are_those_of_single_steps(n_batch, n_units, piece, monkeypatch):
    """In epochs of 11 full batches and a smaller one; fewer trials have the second layer, or none."""
    monkeypatch.setattr(cpu_factors, "PIECE", piece)
    ahead, single = both()
    for epoch in range(2):
        for each in (ahead, single):
            each.start_at(torch.arange(5) + 12 * epoch)
        for step in range(12):
            batch = n_batch if step < 11 else max(1, n_batch - 1)
            for layer, n_trials in ((0, 5), (1, 3), (1, 0), (0, 5)):
                x_TBH = torch.empty(n_trials, batch, n_units)
                assert torch.equal(ahead.factors(layer, x_TBH), single.factors(layer, x_TBH)), (epoch, step, layer)
            for each in (ahead, single):
                each.advance()
    half = torch.empty(5, n_batch, n_units, dtype=torch.bfloat16)
    assert torch.equal(ahead.factors(0, half), single.factors(0, half))
    for each in (ahead, single):  # another step than the next
        each.start_at(torch.tensor([2**31 - 2, 7, 0, 5, 1]))
        each.advance()
    assert torch.equal(ahead.factors(0, half), single.factors(0, half))


def test_factors_of_steps_ahead_take_bounded_memory_and_no_new_one(monkeypatch):
    """Several steps of a small layer at once, but not of an epoch's last batch; of a large layer one step and shape."""
    monkeypatch.setattr(dropout, "MOST_UNITS", 1000)
    masks, _ = both(3)
    addresses = set()
    for step in range(150):
        masks.start_at(masks.step_T.long())  # an epoch begins
        small, large = torch.empty(5, 3, 8), torch.empty(5, 32 - step % 2, 8)
        addresses.add(masks.factors(0, small).data_ptr())
        masks.factors(1, large)
        if step % 12 == 11:
            masks.factors(2, small)
        masks.advance()
    kept = {key: len(ahead.factors.steps) for key, ahead in masks._ahead.items()}
    assert kept == {(0, small.shape): 1000 // small.numel(), (1, large.shape): 1, (2, small.shape): 1}
    assert len(addresses) <= 2 * 1000 // small.numel()

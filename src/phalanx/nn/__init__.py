"""Networks, losses, optimizers and schedules as functions over tensors with a leading trial axis."""

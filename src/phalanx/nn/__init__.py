"""Networks, losses, optimizers and schedules as functions over tensors with a leading trial axis.

A cohort computes T trials at once, so every tensor has one more axis than in `torch.nn`. The suffix of a tensor's name
lists its axes: `x_TBD` has the shape (T, B, D), `norm_T1` has the shape (T, 1).

| axis | meaning                                 | axis | meaning                                            |
| ---- | --------------------------------------- | ---- | -------------------------------------------------- |
| T    | trials                                  | P    | all parameters of one trial, flattened             |
| N    | samples of a split                      | S    | steps of an epoch; in a sampled softmax: classes   |
| B    | samples of a minibatch                  | K    | 1 + S logits of a sample in a sampled softmax      |
| D    | inputs: features, or inputs of a layer  | 1    | an axis of length 1                                |
| H    | units of a hidden layer                 | C    | classes                                            |

No value of a trial may depend on another trial: operations never mix rows of the T axis.
"""

"""From trial specs and a data set to results: stacks, chunks, cohorts, planning and the training loop."""

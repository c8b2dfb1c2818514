"""One job from its configuration to its files, and many jobs as cohorts, here or in other processes."""

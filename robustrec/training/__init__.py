"""Training strategies, negative sampling, training loop with early stopping, and checkpoints."""

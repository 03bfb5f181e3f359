"""Training: strategies, sampling, the loop with early stopping, and checkpoints."""

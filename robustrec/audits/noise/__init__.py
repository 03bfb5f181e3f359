"""The noise audit: Gaussian noise on item features at inference and in training."""

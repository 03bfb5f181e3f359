"""Trained subjects: their definition, training and store."""

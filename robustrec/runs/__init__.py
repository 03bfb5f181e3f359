"""Trained subjects: what defines one, how it is obtained, and the store it is kept in."""

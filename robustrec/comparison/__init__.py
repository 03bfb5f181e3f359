"""Strategies compared at equal budget over several training seeds."""

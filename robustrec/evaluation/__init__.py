"""Ranking, per-user metrics, list stability and the intervals around their means."""

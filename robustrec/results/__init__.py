"""Findings, gates, verdict and report. This package does not measure, display or import torch."""

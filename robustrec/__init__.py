"""robustrec: robustness audits for multimodal recommender systems."""

__version__ = "0.1.0"

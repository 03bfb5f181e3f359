"""PyTorch Geometric: audit its recommenders, and import and export its data sets."""

from robustrec.adapters.pyg.recommender import LightGCN, PyGConfig, PyGRecommender, training_graph

__all__ = ["LightGCN", "PyGConfig", "PyGRecommender", "training_graph"]

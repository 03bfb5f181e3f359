"""PyTorch Geometric (PyG): audit its recommenders, and import and export its data sets."""

from robustrec.adapters.pyg.auditing import audit
from robustrec.adapters.pyg.export import to_hetero_data
from robustrec.adapters.pyg.importing import import_hetero_data
from robustrec.adapters.pyg.recommender import PyGConfig, PyGLightGCN, PyGRecommender, training_graph

__all__ = [
    "PyGConfig",
    "PyGLightGCN",
    "PyGRecommender",
    "audit",
    "import_hetero_data",
    "to_hetero_data",
    "training_graph",
]

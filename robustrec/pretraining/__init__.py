"""BLIP pretraining on the pictures and texts of a catalog, with the models of transformers."""

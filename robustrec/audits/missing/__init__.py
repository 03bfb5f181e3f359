"""The missing audit: a modality missing for a share of the items, or for all."""

"""How flat a trained model is: curvature of one audited loss in its parameters and in its item features.

Dimension letters as everywhere (U users, I items, D feature width, d latent width); N is the number of entries of
whatever is varied, n the number of triples.
"""

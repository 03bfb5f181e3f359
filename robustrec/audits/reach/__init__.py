"""The reach check: perturbations must change the scores, or an audit does not count."""

"""The reach check: a perturbation must be shown to arrive at the scores before an audit counts."""

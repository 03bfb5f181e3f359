"""Audits of subjects, and the suites that configure them."""

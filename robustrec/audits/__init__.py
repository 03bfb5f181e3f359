"""Audits: what is done to a subject, what is compared, and the suites that say which audits to run."""

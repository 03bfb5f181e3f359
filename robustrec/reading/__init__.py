"""Summary, recommendation, main results and glossary of a report."""

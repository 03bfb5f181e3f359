"""Evidence packs: a report with its raw arrays and documents in one signed file, and the check of such a file."""

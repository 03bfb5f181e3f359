"""What is read from a report: the summary, the recommendation, the short list and the glossary."""

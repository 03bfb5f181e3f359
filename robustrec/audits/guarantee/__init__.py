"""The guarantee audit: a bound on the share of items that lose places when they are edited, from a random sample."""

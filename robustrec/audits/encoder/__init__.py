"""The encoder audit: movement of encoder vectors under edits."""

"""The worst audit: search for the edits of an item that cost or gain it the most exposure."""

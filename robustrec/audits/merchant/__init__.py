"""The merchant audit: edits of titles, descriptions and pictures, encoded again."""

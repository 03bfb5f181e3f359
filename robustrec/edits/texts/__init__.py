"""What merchants do to titles and descriptions, a module for each edit."""

"""What merchants do to pictures, a module for each edit."""

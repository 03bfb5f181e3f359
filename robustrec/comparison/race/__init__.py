"""Recipe race: strategies × settings, selected by validation, and stated on test with fresh training seeds."""

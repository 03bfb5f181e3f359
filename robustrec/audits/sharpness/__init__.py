"""The sharpness audit: curvature in item features and parameters."""

"""Training: data, one loop, then one file per task."""

"""Benchmarks of wav2lip_hq, through its public API only: ``python -m benchmarks quality | speed | memory``."""

"""Speeds beside those of others, on one machine in one run: `python -m benchmarks NAME … | all [--json FILE]`."""

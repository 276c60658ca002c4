"""How long logging takes, against other writers: ``python -m benchmarks``."""

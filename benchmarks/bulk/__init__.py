"""`map` and what else one does with many rows, compared and proven: `make bench-bulk`."""

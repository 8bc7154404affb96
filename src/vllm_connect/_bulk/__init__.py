"""Many requests of one kind: how many at once, in which order they come back, and what becomes of each."""

"""Training of cells: the loop, its checkpoints and its record."""

CHECKPOINT_SECONDS = 60  # between two checkpoints

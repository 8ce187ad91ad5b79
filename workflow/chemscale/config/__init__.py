"""A study and its datasets, checked and completed; the settings of its cells."""

"""A ticket as files that other programs load."""

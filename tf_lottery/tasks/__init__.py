"""What networks are trained to do."""

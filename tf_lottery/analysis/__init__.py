"""What finished runs say beyond their accuracy."""

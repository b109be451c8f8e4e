"""What finished runs say beyond their accuracy; each analysis is a function of their files."""

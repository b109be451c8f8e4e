"""What finished runs say beyond how well they do; each analysis is a function of their files."""

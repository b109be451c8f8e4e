"""An experiment: its config, the runs that it is made of, who trains which, and how they are trained."""

"""What ordinary projects do, as small projects with the outcome that each run must have."""

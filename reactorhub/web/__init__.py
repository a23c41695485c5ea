"""The HTTP faces, and the guard that stands before them."""

"""Ways out of the process."""

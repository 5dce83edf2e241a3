"""The four interfaces, one a file."""

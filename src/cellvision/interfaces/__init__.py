"""The interfaces of plugins, one a file."""

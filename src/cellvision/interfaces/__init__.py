"""The interfaces that plugins implement, one per file."""

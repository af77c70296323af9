"""Calls made by other libraries, turned into operations."""

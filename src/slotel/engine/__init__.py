"""Whether the promises are kept: state over time."""

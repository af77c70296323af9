"""What was promised: SLIs, objectives, budgets. Pure: no clock, no thread, no I/O."""

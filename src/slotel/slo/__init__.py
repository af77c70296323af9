"""What was promised: SLIs, objectives, budgets. Pure: no clock, thread or I/O beyond reading text."""

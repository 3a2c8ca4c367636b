"""What devices say of their heat, power and clocks, read and never set."""

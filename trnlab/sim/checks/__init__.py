"""What is wrong with a program, beyond what one instruction shows."""

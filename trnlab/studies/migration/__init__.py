"""What separates the generations of NKI."""

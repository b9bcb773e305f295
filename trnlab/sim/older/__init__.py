"""What the older compiler does to a program before it runs."""

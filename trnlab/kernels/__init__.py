"""Our own operators, written as NKI kernels."""

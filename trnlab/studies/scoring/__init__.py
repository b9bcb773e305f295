"""Scores of kernels that nobody vouches for."""

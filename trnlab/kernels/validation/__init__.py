"""Kernels that were timed on real chips, written again: same algorithm, tiling and shapes."""

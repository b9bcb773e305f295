"""Loops whose iterations are written instead of run, where only time is asked for."""

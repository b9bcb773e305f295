"""What scripts and test-suites import around NKI."""

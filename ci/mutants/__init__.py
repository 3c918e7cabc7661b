"""Break the plans on purpose, one place at a time, and see whether the tests notice: `python -m ci.mutants`."""

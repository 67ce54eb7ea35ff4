"""Suites of Great Expectations, compiled to what Spark counts in the pass that writes the rows."""

"""Benchmarks against named rivals. `make bench` runs them all, `make bench ONLY=name` one."""

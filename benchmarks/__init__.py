"""Side-by-side measurements against peers. Not imported by the app, and no tests: `make bench`, docs/benchmarks.md."""

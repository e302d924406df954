"""Side-by-side measurements against peers. Not imported by the app: `make bench`, docs/benchmarks.md."""

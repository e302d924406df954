"""The measured ways of training, one file each. Each implements `benchmarks.contestant.BenchmarkContestant`."""

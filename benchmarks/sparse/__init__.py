"""Speed and memory of sparseops beside its peers: `python benchmarks/sparse --help`."""

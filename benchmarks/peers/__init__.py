"""Other ways to do the same work, one file per peer; see `benchmarks.process.Peer`."""

"""The test cluster, the image builder, pinned tools and benchmarks. Nothing here ships to users."""

"""What is computed: kernels on arrays, with thin batch shells for Spark below them in the same file."""

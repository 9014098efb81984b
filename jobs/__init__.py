"""What is run: one module per table. The only part that knows Spark and Sedona."""

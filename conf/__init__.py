"""What is declared: tables, sensors, settings and places. Knows nothing of Spark, torch or rasters."""

"""What is learned: networks, training, the predictor and the registry. The only part that knows torch and MLflow."""

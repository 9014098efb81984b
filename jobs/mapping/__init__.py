"""From images to buildings."""

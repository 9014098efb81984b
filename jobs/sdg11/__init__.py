"""From built-up land to SDG 11 indicators and the report."""

"""Networks: training and judging."""

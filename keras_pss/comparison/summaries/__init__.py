"""What the summary of a comparison consists of."""

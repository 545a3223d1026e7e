"""The mathematics of single methods of compression."""

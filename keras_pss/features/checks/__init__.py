"""What the classes of a schema check of their fields."""

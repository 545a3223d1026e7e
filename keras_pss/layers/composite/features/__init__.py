"""Tables and features with names, and how the features' ids are read."""

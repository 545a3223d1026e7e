"""The layers of the model from raw columns to the inputs of a run's model."""

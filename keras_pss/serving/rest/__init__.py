"""A REST server for SavedModels in the form of TensorFlow Serving."""

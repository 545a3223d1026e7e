"""What a run does differently on each backend of Keras.

tf.data reads the batches on all of them, and TensorFlow exports the model.
"""

"""Input servers: other machines read, shuffle and decode a prepared log.

An input server is a tf.data service with one worker. `server` runs one;
`service_dataset` joins what several of them send to the batches that `dataset`
would have read here, in the same order.
"""

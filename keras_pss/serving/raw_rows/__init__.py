"""Raw rows: what turns named columns of a log into the inputs of a model.

These layers give the ids of the rows that `keras_pss.data.prepare` wrote, for
every value. Strings exist in TensorFlow alone, so they run there alone.
"""

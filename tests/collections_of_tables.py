"""Collections of small and large tables."""

import keras_pss

DIMS = (900, 7, 5000, 40, 2500)


def make(method, budget, options, **kwargs):
    return keras_pss.EmbeddingCollection(
        DIMS, 8, method, budget, options=options, **kwargs
    )

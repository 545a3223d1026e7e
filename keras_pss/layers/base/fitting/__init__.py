"""`fit_table`: how a layer takes the place of a trained table."""

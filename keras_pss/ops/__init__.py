"""Pure functions of tensors; the only place where backends differ."""

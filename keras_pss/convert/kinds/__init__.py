"""What each kind of layer with uncompressed tables becomes."""

"""What a training step of a `kdtf.Distiller` consists of."""

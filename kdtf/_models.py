"""What a Keras model tells about itself."""


def class_count(model):
    """The size of the last axis of a model's one output, or None if unknown.

    Unknown for a callable that is no model, a model that was never called, and
    a model with several outputs.
    """
    try:
        return model.output_shape[-1]
    except (AttributeError, TypeError):
        return None

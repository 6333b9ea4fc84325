"""A convolutional student on real images: Omniglot's characters."""

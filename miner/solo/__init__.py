"""Mining with a node: templates in, blocks out."""

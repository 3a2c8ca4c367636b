"""The shapes in which other miners answer: views of the Snapshot, for panels that know them."""

"""The API shapes of other miners, for panels and farm systems that read them."""

"""A stream of bytes to an address: TCP, TLS, through a proxy."""

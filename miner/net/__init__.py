"""TCP, TLS, proxies, addresses: how a connection is made."""

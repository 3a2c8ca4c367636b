"""One thread per device: jobs in, proved solutions out."""

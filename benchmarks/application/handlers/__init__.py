"""A payment and a plain read, written with each client: what is compared, a file each."""

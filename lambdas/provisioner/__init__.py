"""The provisioner."""

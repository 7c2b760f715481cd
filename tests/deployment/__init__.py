"""The real deployment tool against an AWS emulator on loopback: see test_deployment.py."""

"""Ratios, side by side in one run: what the README claims of speed, against real servers."""

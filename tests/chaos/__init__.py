"""The chaos suite: every promise of the library, under every fault, against real servers."""

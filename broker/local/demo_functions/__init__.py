"""The functions that the demo deploys; this folder is their code package."""

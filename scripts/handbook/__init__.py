"""The documentation as a site: what is made out of the repository when it is built."""

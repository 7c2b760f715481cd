"""A result of any size on its way to S3, in the memory of one page and one part."""

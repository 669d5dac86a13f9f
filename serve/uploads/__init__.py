"""Uploaded files to texts, in processes that can come to harm alone."""

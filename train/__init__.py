"""Training, one file per verb: labelled data in, a model bundle out. Knows nothing of HTTP."""

"""The command line: one file for each group of commands. The only room that knows all the others."""

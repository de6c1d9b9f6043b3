"""The command line: parse, translate to a Pod, print. Nothing here decides how a container runs."""

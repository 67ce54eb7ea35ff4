"""The command line. Commands import Spark when they run, so that `--help` is quick."""

"""What spark-submit is given to run: a file, alone in its folder, as that becomes the first of the module path."""

"""What can be told of a pipeline from its plan and its source text, without reading data."""

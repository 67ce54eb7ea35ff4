"""The demonstration: real flights of 2013, replayed to Kafka and run in every mode."""

"""The stack on loopback: pinned jars, a real Kafka broker, a class-data archive."""

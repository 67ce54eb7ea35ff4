"""The engine: what turns a definition, a mode and a log into rows."""

"""Append-only files of JSON lines as a source of headway."""

"""One run for each quarter of an hour that has closed."""

from headway import Mode

MODE = Mode(name="every_15_minutes", every="15 minutes", schedule="2-59/15 * * * *")

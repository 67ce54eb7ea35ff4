"""One run an hour, for the hours that have closed."""

from headway import Mode

MODE = Mode(name="hourly", every="1 hour", schedule="5 * * * *")

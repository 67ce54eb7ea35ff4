"""One run a day, for the day before, in the zone of conf/."""

from headway import Mode

MODE = Mode(name="daily", every="1 day", schedule="30 6 * * *")

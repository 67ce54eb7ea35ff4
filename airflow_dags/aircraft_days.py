"""What each aircraft did, every day in the zone of conf/."""

from pathlib import Path

from headway.airflow import Deployment

dag = Deployment(Path(__file__).parents[1]).dag("aircraft_days", mode="daily")

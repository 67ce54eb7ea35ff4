"""Each flight, every hour."""

from pathlib import Path

from headway.airflow import Deployment

dag = Deployment(Path(__file__).parents[1]).dag("departures", mode="hourly")

"""Each flight with its weather, every hour."""

from pathlib import Path

from headway.airflow import Deployment

dag = Deployment(Path(__file__).parents[1]).dag("flights_with_weather", mode="hourly")

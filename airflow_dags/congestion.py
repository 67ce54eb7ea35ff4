"""Flights due within any 60 minutes: a stream, seen to every five minutes."""

from pathlib import Path

from headway.airflow import Deployment

dag = Deployment(Path(__file__).parents[1]).dag("congestion", mode="continuous")

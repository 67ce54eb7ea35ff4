"""Pipelines as Airflow DAGs, in a few lines::

    from headway.airflow import Deployment

    dag = Deployment(Path(__file__).parents[1]).dag("punctuality", mode="hourly")

Airflow has an environment of its own, with headway in it but neither Spark nor the drivers
(`pip install --no-deps headway`). What runs is the `headway` of the project's environment.
"""

from importlib.util import find_spec

if find_spec("airflow") is None:
    raise ImportError(
        "headway.airflow is for Airflow's own environment, and there is no Airflow in this one.\n"
        "Hint: pip install 'apache-airflow>=3.3,<3.4' && pip install --no-deps headway"
    )

from headway.airflow.deployment import Deployment
from headway.airflow.operator import HeadwayOperator
from headway.airflow.supervisor import SupervisorOperator

__all__ = ["Deployment", "HeadwayOperator", "SupervisorOperator"]

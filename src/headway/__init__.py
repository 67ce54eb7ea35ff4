"""headway: define a transformation once, run it as daily batch, hourly batch or stream.

The façade for definitions. Importing it starts no JVM and loads no Spark.
"""

from headway import sinks, sources
from headway.errors import Error
from headway.lookup import Lookup, PostgresTable
from headway.mode import Mode
from headway.pipeline import Pipeline, pipeline
from headway.session import session

__all__ = ["Error", "Lookup", "Mode", "Pipeline", "PostgresTable", "pipeline", "session", "sinks", "sources"]

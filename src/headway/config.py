"""Configuration: conf/base.yaml, then conf/<env>.yaml over it, then `${NAME}` from the environment.

Unknown keys are refused, and every fault is reported at once with the file and line it
stands in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from headway import instant
from headway import prices as price_list
from headway.errors import ConfigError, UsageError, suggestion
from headway.telemetry.address import Address
from headway.yaml_text import parsed

__all__ = [
    "EVERY",
    "Alerts",
    "Catalog",
    "Config",
    "Database",
    "Delta",
    "Kafka",
    "Logs",
    "Metrics",
    "Prices",
    "Quality",
    "RabbitMQ",
    "Spark",
    "load",
    "references",
    "written",
]

EVERY = "*"
"""Stands for every pipeline that is not named."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kafka(_Section):
    """Where the brokers are."""

    bootstrap_servers: str = "embedded"
    """`host:port,...`; `embedded` is the broker that `headway up` starts."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    """Take it from the environment: `${KAFKA_PASSWORD}`."""
    ssl_ca: str | None = None
    """PEM file with the authorities that vouch for the brokers; none means those of the system."""
    ssl_certificate: str | None = None
    """PEM file with this client's certificate and, below it, its unencrypted key."""

    @model_validator(mode="after")
    def _has_a_user(self) -> Kafka:
        if self.security_protocol.startswith("SASL") and (
            self.sasl_username is None or self.sasl_password is None
        ):
            raise ValueError(f"{self.security_protocol} needs sasl_username and sasl_password")
        return self


class RabbitMQ(_Section):
    """Where the RabbitMQ broker is."""

    url: SecretStr
    """AMQP URL, such as `amqps://${RABBITMQ_USER}:${RABBITMQ_PASSWORD}@host:5671/vhost`: take the password
    from the environment."""


class Catalog(_Section):
    """An Iceberg catalog, by its name in table names."""

    embedded: bool = False
    """A JDBC catalog on SQLite in the project's `.headway` folder."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Properties of Spark's Iceberg catalog: type, uri, warehouse and so on."""


class Database(_Section):
    """A Postgres database, by its name in sinks."""

    embedded: bool = False
    """The server that `headway up` starts in the project's `.headway` folder."""
    dsn: SecretStr | None = None
    """Connection string as libpq reads it, with `sslmode` and so on. Take passwords from the environment."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Database:
        if self.embedded == (self.dsn is not None):
            raise ValueError("give either embedded: true or a dsn")
        return self


class Delta(_Section):
    """Where Delta tables are."""

    root: str = ".headway/delta"
    """Folder of the tables of `sinks.Delta`, on any Hadoop file system; a relative path counts from the project."""


class Quality(_Section):
    """How suites of Great Expectations are judged and told."""

    telemetry: bool = False
    """Whether Great Expectations may send telemetry."""
    mask: list[str] = Field(default_factory=list)
    """Columns whose values are never shown in messages, results and Data Docs."""
    actions: list[dict[str, Any]] = Field(default_factory=list, repr=False)
    """Great Expectations' own actions, in its own form, that fire when a unit has failed."""


_DEFAULTS = price_list.Prices()


class Prices(_Section):
    """What `headway compare` reckons costs by; see `headway.prices`."""

    core_hour: float = Field(default=_DEFAULTS.core_hour, ge=0)
    gib_hour: float = Field(default=_DEFAULTS.gib_hour, ge=0)
    thousand_object_writes: float = Field(default=_DEFAULTS.thousand_object_writes, ge=0)
    currency: str = _DEFAULTS.currency

    def listed(self) -> price_list.Prices:
        """Return the prices as a noun."""
        return price_list.Prices(**self.model_dump())


class Spark(_Section):
    """How Spark is started."""

    master: str | None = "local[*]"
    """None leaves it to spark-submit."""
    conf: dict[str, str] = Field(default_factory=dict)
    """Passed to Spark as they are."""


class Logs(_Section):
    """How runs tell on stderr what they do."""

    format: Literal["text", "json"] = "text"
    """`json` is one object a line, Spark's own log included."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written; `debug` has a line for each micro-batch."""
    spark: Literal["off", "error", "warn", "info"] = "error"
    """The least that Spark itself may say; `headway -v` makes it `warn` at least, with stack traces."""


class Metrics(_Section):
    """Where the Prometheus metrics of runs are."""

    listen: str | None = None
    """`host:port` or `host:first-last` where a stream answers scrapes; the first free port is taken."""
    textfile: str | None = None
    """Folder of node_exporter's textfile collector, to which runs that end by themselves add theirs."""

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, listen: str | None) -> str | None:
        if listen is not None:
            Address.parse(listen)
        return listen


class Alerts(_Section):
    """When a run says that something is amiss, and to whom."""

    freshness: dict[str, str] = Field(default_factory=dict)
    """How old what is published may be, from the end of the last final range to now: a span of time, or one
    for each pipeline by name, `*` for the others."""
    webhook: SecretStr | None = None
    """Where to post alerts as JSON, http or https; take it from the environment."""

    @field_validator("freshness", mode="before")
    @classmethod
    def _counts_for_all(cls, freshness: Any) -> Any:
        return {EVERY: freshness} if isinstance(freshness, str) else freshness

    @field_validator("freshness")
    @classmethod
    def _are_spans(cls, freshness: dict[str, str]) -> dict[str, str]:
        for span in freshness.values():
            try:
                instant.duration(span)
            except UsageError as exc:
                raise ValueError(str(exc)) from None
        return freshness

    @field_validator("webhook")
    @classmethod
    def _is_of_the_web(cls, webhook: SecretStr | None) -> SecretStr | None:
        if webhook is not None and not webhook.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("the webhook is no http or https URL")
        return webhook

    def threshold(self, pipeline: str) -> int | None:
        """Return how old a pipeline's rows may be, in microseconds; None where nobody has said."""
        span = self.freshness.get(pipeline, self.freshness.get(EVERY))
        return None if span is None else instant.duration(span)


class Config(_Section):
    """The whole configuration of a project."""

    zone: str = "UTC"
    """IANA zone whose midnights bound local days."""
    state: str = ".headway/state"
    """Folder of checkpoints, on any Hadoop file system; a relative path counts from the project."""
    records_per_job: int = Field(default=20_000_000, gt=0)
    """About how many records one job of a bounded run reads; more intervals take more jobs."""
    lease_seconds: float = Field(default=60, gt=0)
    """How long a lease lasts without a sign of life of its holder."""
    kafka: Kafka = Kafka()
    rabbitmq: RabbitMQ | None = None
    catalogs: dict[str, Catalog] = Field(default_factory=lambda: {"lake": Catalog(embedded=True)})
    databases: dict[str, Database] = Field(default_factory=dict)
    delta: Delta = Delta()
    quality: Quality = Quality()
    logs: Logs = Logs()
    metrics: Metrics = Metrics()
    alerts: Alerts = Alerts()
    prices: Prices = Prices()
    extensions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Sections of sources and sinks that other packages add, by their names."""
    spark: Spark = Spark()

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{zone!r} is no IANA time zone, such as Europe/Berlin") from None
        return zone


def written(folder: Path, environment: str) -> dict[str, Any]:
    """Return a project's configuration as it is written, with `${NAME}` where it says so.

    Raises:
        ConfigError: There is no such environment, or a file is not YAML.
    """
    return _layers(folder, environment, {})


def references(value: Any) -> dict[str, str | None]:
    """Return the environment variables that a part of `written` names, each with its default.

    >>> references({"dsn": "postgresql://${USER}:${PASSWORD:none}@db"})
    {'USER': None, 'PASSWORD': 'none'}
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {name: default for part in value for name, default in references(part).items()}
    return {f[1]: f[2] for f in _REFERENCE.finditer(value)} if isinstance(value, str) else {}


def load(folder: Path, environment: str) -> Config:
    """Read and check the layers of a project's configuration.

    Raises:
        ConfigError: With every fault, each with its file and line.
    """
    lines: dict[tuple[str, ...], str] = {}
    merged = _layers(folder, environment, lines)
    layer = folder / f"{environment}.yaml"
    faults: list[str] = []
    resolved = _resolve(merged, (), lines, faults)
    config = None
    try:
        config = Config.model_validate(resolved)
    except ValidationError as exc:
        for error in exc.errors():
            path = tuple(str(part) for part in error["loc"])
            faults.append(f"{_where(path, lines, layer)}: {_word(path, error)}")
    if faults or config is None:
        raise ConfigError(
            "the configuration is wrong:\n  " + "\n  ".join(sorted(faults)),
            hint="docs/reference/configuration.md lists every key.",
        )
    return config


def _layers(folder: Path, environment: str, lines: dict[tuple[str, ...], str]) -> dict[str, Any]:
    layer = folder / f"{environment}.yaml"
    if not layer.exists():
        known = [p.stem for p in folder.glob("*.yaml") if p.stem != "base"]
        raise ConfigError(
            f"no configuration {environment!r}", where=str(folder), hint=suggestion(environment, known)
        )
    merged: dict[str, Any] = {}
    for file in (folder / "base.yaml", layer):
        if file.exists():
            _merge(merged, _parse(file, lines))
    return merged


def _parse(file: Path, lines: dict[tuple[str, ...], str]) -> dict[str, Any]:
    node, data = parsed(file.read_text(), file)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError("the top level is not a mapping of keys", where=f"{file}:1")
    for path, line in _positions(node, ()):
        lines[path] = f"{file}:{line}"
    return data


def _positions(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _positions(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            below = (*path, str(number))
            yield below, value.start_mark.line + 1
            yield from _positions(value, below)


def _merge(target: dict[str, Any], layer: dict[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _resolve(value: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], str], faults: list[str]) -> Any:
    if isinstance(value, dict):
        return {k: _resolve(v, (*path, str(k)), lines, faults) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, (*path, str(number)), lines, faults) for number, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        name, default = found.group(1), found.group(2)
        given = os.environ.get(name, default)
        if given is None:
            faults.append(f"{lines.get(path, '.'.join(path))}: the environment variable {name} is not set")
            return ""
        return given

    return _REFERENCE.sub(replace, value)


def _where(path: tuple[str, ...], lines: dict[tuple[str, ...], str], layer: Path) -> str:
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return str(layer)


def _word(path: tuple[str, ...], error: Any) -> str:
    name = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = _known(path[:-1])
        return f"unknown key {name!r}. {suggestion(path[-1], known)}"
    return f"{name}: {error['msg']}"


def _known(path: tuple[str, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "": Config,
        "kafka": Kafka,
        "rabbitmq": RabbitMQ,
        "spark": Spark,
        "catalogs": Catalog,
        "databases": Database,
        "delta": Delta,
        "quality": Quality,
        "logs": Logs,
        "metrics": Metrics,
        "alerts": Alerts,
        "prices": Prices,
    }
    section = sections.get(path[0] if path else "")
    return list(section.model_fields) if section else []

"""How clients prove to Kafka who they are: one section of conf/, spelled for each client library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Security"]

_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Protocol, user and certificates. Its `repr` shows no password."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Security:
        """Read the keys of the section `kafka` of conf/."""
        password = settings.get("sasl_password")
        return cls(
            protocol=settings.get("security_protocol", "PLAINTEXT"),
            mechanism=settings.get("sasl_mechanism"),
            username=settings.get("sasl_username"),
            password=None if password is None else password.get_secret_value(),
            ca=settings.get("ssl_ca"),
            certificate=settings.get("ssl_certificate"),
        )

    @property
    def has_user(self) -> bool:
        """Whether a user and a password are sent."""
        return self.protocol.startswith("SASL")

    def for_python(self) -> dict[str, Any]:
        """Return the settings as kafka-python names them."""
        given: dict[str, Any] = {"security_protocol": self.protocol}
        if self.has_user:
            given |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        if self.protocol.endswith("SSL"):
            given |= {
                "ssl_cafile": self.ca,
                "ssl_certfile": self.certificate,
                "ssl_keyfile": self.certificate,
            }
        return given

    def for_java(self) -> dict[str, str]:
        """Return the settings as Kafka's Java clients name them, without a prefix."""
        given = {"security.protocol": self.protocol}
        if self.has_user:
            assert self.mechanism is not None
            user, password = (json.dumps(text, ensure_ascii=False) for text in (self.username, self.password))
            given |= {
                "sasl.mechanism": self.mechanism,
                "sasl.jaas.config": f"{_MODULES[self.mechanism]} required username={user} password={password};",
            }
        if self.protocol.endswith("SSL"):
            if self.ca is not None:
                given |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": self.ca}
            if self.certificate is not None:
                given |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": self.certificate}
        return given

    def for_librdkafka(self) -> dict[str, Any]:
        """Return the settings as librdkafka names them."""
        given: dict[str, Any] = {"security.protocol": self.protocol}
        if self.has_user:
            given |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password,
            }
        if self.protocol.endswith("SSL"):
            files = {
                "ssl.ca.location": self.ca,
                "ssl.certificate.location": self.certificate,
                "ssl.key.location": self.certificate,
            }
            given |= {key: file for key, file in files.items() if file is not None}
        return given

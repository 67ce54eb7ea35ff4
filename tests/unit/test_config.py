"""Configuration: every fault at once, each with its file and line."""

import pytest

from headway import config
from headway.errors import ConfigError


@pytest.fixture
def conf(tmp_path):
    def write(base: str, local: str = ""):
        (tmp_path / "base.yaml").write_text(base)
        (tmp_path / "local.yaml").write_text(local)
        return tmp_path

    return write


def test_the_environments_layer_lies_over_the_base(conf):
    found = config.load(conf("zone: UTC\nkafka: {bootstrap_servers: a:1}", "zone: Europe/Berlin"), "local")
    assert (found.zone, found.kafka.bootstrap_servers) == ("Europe/Berlin", "a:1")


def test_all_faults_are_told_at_once_with_file_and_line(conf):
    folder = conf("zone: Mars/Olympus\n", "kafka:\n  bootstrap_server: a:1\nrecords_per_job: -1\n")
    with pytest.raises(ConfigError) as caught:
        config.load(folder, "local")
    said = str(caught.value)
    assert "base.yaml:1: zone:" in said
    assert "local.yaml:2: unknown key 'kafka.bootstrap_server'. Did you mean 'bootstrap_servers'?" in said
    assert "local.yaml:3: records_per_job:" in said


def test_a_missing_environment_variable_is_named_and_its_value_is_not_shown(conf, monkeypatch):
    folder = conf("kafka: {bootstrap_servers: '${HEADWAY_TEST_SERVERS}'}")
    with pytest.raises(
        ConfigError, match=r"base.yaml:1: the environment variable HEADWAY_TEST_SERVERS is not set"
    ):
        config.load(folder, "local")
    monkeypatch.setenv("HEADWAY_TEST_SERVERS", "b:2")
    assert config.load(folder, "local").kafka.bootstrap_servers == "b:2"


def test_the_environment_is_asked_inside_of_lists_too(conf, monkeypatch):
    folder = conf("quality:\n  actions:\n    - type: api\n      url: https://host/${HEADWAY_TEST_TOKEN}\n")
    with pytest.raises(ConfigError, match=r"base.yaml:4: the environment variable HEADWAY_TEST_TOKEN"):
        config.load(folder, "local")
    monkeypatch.setenv("HEADWAY_TEST_TOKEN", "s3cret")
    found = config.load(folder, "local")
    assert found.quality.actions == [{"type": "api", "url": "https://host/s3cret"}]
    assert "s3cret" not in repr(found)


def test_an_unknown_environment_is_refused_with_a_suggestion(conf):
    with pytest.raises(ConfigError, match="Did you mean 'local'"):
        config.load(conf(""), "locl")


def test_text_that_is_no_yaml_is_told_with_its_line(conf):
    with pytest.raises(ConfigError, match=r"base.yaml:2"):
        config.load(conf("zone: UTC\n  bad: [\n"), "local")


def test_a_freshness_counts_for_all_pipelines_or_by_name(conf):
    alerts = config.load(conf("alerts: {freshness: 15 minutes}"), "local").alerts
    assert alerts.threshold("p") == 15 * 60 * 1_000_000
    alerts = config.load(conf("alerts: {freshness: {p: 1 hour, '*': 1 day}}"), "local").alerts
    assert (alerts.threshold("p"), alerts.threshold("q")) == (3_600_000_000, 86_400_000_000)
    assert config.load(conf("alerts: {freshness: {p: 1 hour}}"), "local").alerts.threshold("q") is None


def test_what_watching_needs_is_checked_before_anything_runs(conf, monkeypatch):
    monkeypatch.setenv("HEADWAY_TEST_TOKEN", "s3cret")
    folder = conf(
        "metrics: {listen: nowhere}\n"
        "alerts:\n  freshness: soon\n  webhook: ftp://host/${HEADWAY_TEST_TOKEN}\n"
        "logs: {format: xml}\n"
    )
    with pytest.raises(ConfigError) as caught:
        config.load(folder, "local")
    said = str(caught.value)
    assert "base.yaml:1: metrics.listen: Value error, 'nowhere' is no address, such as 127.0.0.1:9400" in said
    assert "base.yaml:3: alerts.freshness: Value error, 'soon' is not a span of time" in said
    assert "base.yaml:4: alerts.webhook: Value error, the webhook is no http or https URL" in said
    assert "base.yaml:5: logs.format:" in said
    assert "s3cret" not in said


def test_prices_have_defaults_and_an_unknown_one_is_refused(conf):
    found = config.load(conf("prices: {core_hour: 0.1, currency: EUR}"), "local").prices.listed()
    assert (found.core_hour, found.currency) == (0.1, "EUR")
    assert found.gib_hour > 0
    with pytest.raises(ConfigError, match=r"unknown key 'prices.core_hours'. Did you mean 'core_hour'"):
        config.load(conf("prices: {core_hours: 0.1}"), "local")
    with pytest.raises(ConfigError, match=r"base.yaml:1: prices.gib_hour"):
        config.load(conf("prices: {gib_hour: -1}"), "local")

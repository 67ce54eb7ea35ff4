"""Great Expectations' own actions, sent to real servers on loopback."""

from __future__ import annotations

import base64
import email
import json
import socket
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from headway import instant
from headway.errors import ConfigError
from headway.interval import Interval
from headway.quality.actions import fire, parse
from headway.quality.suite import Rule, Suite
from headway.quality.validation import validation_result
from headway.quality.verdict import result_of, verdict_of

SECRET = "s3cr3t-of-$mine"  # GX takes $mine for a variable of its own


@contextmanager
def serving(handler):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.taken = []
        server.block_on_close = False  # a client that was refused keeps its connection
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Web(BaseHTTPRequestHandler):
    """Takes posts; refuses those to /refuse."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(500 if "refuse" in self.path else 200)
        self.end_headers()

    def log_message(self, *args):
        pass


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as smtplib speaks: EHLO, AUTH PLAIN, MAIL, RCPT, DATA, QUIT."""

    def handle(self):
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                self.say("250-here\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                password = base64.b64decode(line.split()[2]).decode().split("\0")[2]
                self.say("235 welcome" if password == SECRET else f"535 {password} is wrong")
            elif verb == "DATA":
                self.say("354 go on")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                self.server.taken.append(email.message_from_bytes(text))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


def mail(port, **more):
    return {
        "type": "email",
        "name": "tell the team",
        "smtp_address": "127.0.0.1",
        "smtp_port": str(port),
        "sender_login": "headway@example.org",
        "sender_password": SECRET,
        "receiver_emails": "a@example.org, b@example.org",
        "notify_on": "failure",
        **more,
    }


def failed(day=1, severity="critical"):
    rule = Rule(
        id="few",
        type="expect_table_row_count_to_be_between",
        kwargs={"min_value": 1},
        on_fail="fail",
        about="set",
        is_compiled=True,
        severity=severity,
        meta={},
    )
    return validation_result(
        verdict_of([(rule, result_of(rule, success=False, result={"observed_value": 0}))]),
        Suite(name="departures", file="quality/departures.json", rules=(rule,)),
        pipeline="punctuality",
        source=None,
        unit=Interval(instant.parse(f"2013-02-0{day}"), instant.parse(f"2013-02-0{day + 1}")),
        judged_at=0,
    )


def test_the_http_action_posts_all_units_that_failed_at_once():
    with serving(Web) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        said = fire(
            [{"type": "api", "name": "hook", "url": url}], [failed(1), failed(2)], pipeline="punctuality"
        )
    assert said == []
    [(path, kind, payload)] = server.taken
    assert (path, kind) == ("/hook", "application/json")
    assert [(p["test_suite_name"], p["data_asset_name"]) for p in payload] == [
        ("departures", "result of punctuality, 2013-02-01T000000Z..2013-02-02T000000Z"),
        ("departures", "result of punctuality, 2013-02-02T000000Z..2013-02-03T000000Z"),
    ]
    assert payload[0]["validation_results"][0]["result"] == {"observed_value": 0}


def test_the_mail_action_logs_in_and_sends_one_mail_that_names_the_unit():
    with serving(Mail) as server:
        said = fire([mail(server.server_address[1])], [failed()], pipeline="punctuality")
    assert said == []
    [message] = server.taken
    assert (message["Subject"], message["To"]) == ("punctuality: False", "a@example.org, b@example.org")
    html = message.get_payload()[0].get_payload(decode=True).decode()
    assert "2013-02-01T000000Z..2013-02-02T000000Z" in html
    assert "<strong>0</strong> of <strong>1</strong>" in html


@pytest.mark.parametrize(
    ("notify_on", "severity", "mails"),
    [
        ("failure", "info", 1),
        ("success", "critical", 0),
        ("critical", "critical", 1),
        ("critical", "info", 0),
    ],
)
def test_notify_on_means_what_great_expectations_means(notify_on, severity, mails):
    with serving(Mail) as server:
        action = mail(server.server_address[1], notify_on=notify_on)
        assert fire([action], [failed(severity=severity)], pipeline="p") == []
    assert len(server.taken) == mails


def test_what_could_not_be_sent_is_said_without_secrets_and_the_others_are_sent():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        nobody = closed.getsockname()[1]
        with serving(Web) as server:
            web = f"http://127.0.0.1:{server.server_address[1]}"
            said = fire(
                [
                    {"type": "api", "name": "away", "url": f"http://127.0.0.1:{nobody}/{SECRET}"},
                    {"type": "slack", "name": "chat", "slack_webhook": f"{web}/refuse/{SECRET}"},
                    {"type": "api", "name": "refused", "url": f"{web}/refuse"},
                    mail(nobody),
                    {"type": "api", "name": "works", "url": f"{web}/hook"},
                ],
                [failed()],
                pipeline="p",
            )
    assert [text.partition(" has told")[0] for text in said] == [
        "the action 'away'",
        "the action 'chat'",
        "the action 'refused'",
        "the action 'tell the team'",
    ]
    assert SECRET not in "".join(said)
    assert "500" in said[2]
    assert server.taken[-1][0] == "/hook"


def test_a_refused_login_is_said_without_the_password():
    with serving(Mail) as server:
        said = fire([mail(server.server_address[1], sender_password="wrong-one")], [failed()], pipeline="p")
    assert len(said) == 1
    assert "authenticate" in said[0]
    assert "wrong-one" not in said[0]


def test_a_server_that_never_answers_does_not_hold_the_run():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        [said] = fire([mail(mute.getsockname()[1])], [failed()], pipeline="p", patience=0.2)
    assert said.endswith("it has not ended within 0.2 seconds")


def test_faults_of_the_configuration_are_named_by_key_and_show_no_values():
    wrong = [
        {"type": "emial", "name": "x"},
        mail(25, notify_on="sometimes", colour=SECRET),
        {"type": "slack", "name": "chat", "slack_token": SECRET},
        {"type": "update_data_docs", "name": "docs"},
    ]
    with pytest.raises(ConfigError) as raised:
        parse(wrong)
    text = str(raised.value)
    for key in ("0.type", "1.notify_on", "1.colour", "2", "3.type"):
        assert f"quality.actions.{key}: " in text
    assert SECRET not in text
    assert fire(wrong, [failed()], pipeline="p") == [raised.value.what]

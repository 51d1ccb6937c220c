"""Reading the environment: every problem at once, precedence, and what may send to people."""

import pytest

from config import ConfigError, EmailBackend, Settings, environment, load_settings

KEY = {"SECRET_KEY": "0123456789abcdef0123456789abcdef"}


def make(**values: str) -> Settings:
    return Settings.from_env({**KEY, **values})


def problems_of(**values: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make(**values)
    return caught.value.problems


def test_every_problem_is_named_in_one_message():
    problems = problems_of(
        SECRET_KEY="short", PORT="http", MAX_EMAILS_PER_SECOND="0", AWS_REGION="Spain",
        IN_DOUBT_POLICY="guess", SNS_TOPIC_ARN="my-topic", DATABASE_URL="mysql://x",
        SENDER_EMAIL="nobody", AWS_ACCESS_KEY_ID="only-one",
    )  # fmt: skip
    for name in (
        "SECRET_KEY", "PORT", "MAX_EMAILS_PER_SECOND", "AWS_REGION", "IN_DOUBT_POLICY",
        "SNS_TOPIC_ARN", "DATABASE_URL", "SENDER_EMAIL", "AWS_SECRET_ACCESS_KEY",
    ):  # fmt: skip
        assert any(name in problem for problem in problems), name


@pytest.mark.parametrize("key", ["", "change-me", "secret", "123456789012345"])
def test_a_weak_secret_key_is_refused(key):
    assert any("SECRET_KEY" in problem for problem in problems_of(SECRET_KEY=key))


def test_mail_goes_to_ses_unless_the_simulator_is_named():
    assert make().email_backend is EmailBackend.SES
    assert make(EMAIL_BACKEND="simulator").uses_simulator


def test_the_simulator_needs_no_further_settings():
    settings = make(EMAIL_BACKEND="simulator", PORT="6000")
    assert settings.sqs_queue_url == "http://127.0.0.1:6001/000000000000/bes-events"
    assert settings.ses_configuration_set == "bes"
    assert settings.sender_email


def test_the_simulator_never_polls_a_queue_of_aws():
    queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/events"
    assert make(EMAIL_BACKEND="simulator", SQS_QUEUE_URL=queue).sqs_queue_url.startswith(
        "http://127.0.0.1:"
    )
    assert make(SQS_QUEUE_URL=queue).sqs_queue_url == queue


def test_the_queue_can_be_switched_off():
    assert make(EMAIL_BACKEND="simulator", SQS_QUEUE_URL="none").sqs_queue_url == ""


def test_rates_may_have_fractions():
    assert make(MAX_EMAILS_PER_SECOND="0.5").max_emails_per_second == 0.5


def test_topics_are_a_comma_separated_list():
    a, b = (f"arn:aws:sns:eu-west-1:123456789012:{name}" for name in ("a", "b"))
    assert make(SNS_TOPIC_ARN=f"{a}, {b}").sns_topic_arn == (a, b)


def test_secrets_never_show_in_a_representation():
    shown = repr(
        make(AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="hidden-1",
             ADMIN_EMAIL="a@example.com", ADMIN_PASSWORD="hidden-2", METRICS_TOKEN="hidden-3",
             DATABASE_URL="postgresql://user:hidden-4@127.0.0.1/x")
    )  # fmt: skip
    assert "hidden" not in shown
    assert KEY["SECRET_KEY"] not in shown


def test_a_secret_may_come_from_a_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("a-long-key-from-a-file-0123456789\n")
    assert Settings.from_env({"SECRET_KEY_FILE": str(path)}).secret_key.endswith("0123456789")


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({}, 2),
        ({"PUBLIC_BASE_URL": "http://mail.example.org", "POSTAL_ADDRESS": "Street 1"}, 1),
        ({"PUBLIC_BASE_URL": "https://127.0.0.1", "POSTAL_ADDRESS": "Street 1"}, 1),
        ({"PUBLIC_BASE_URL": "https://localhost", "POSTAL_ADDRESS": "Street 1"}, 1),
        ({"PUBLIC_BASE_URL": "https://mail.example.org", "POSTAL_ADDRESS": "Street 1"}, 0),
        ({"EMAIL_BACKEND": "simulator"}, 0),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 0),
    ],
)
def test_real_people_get_mail_only_with_a_public_address_and_a_postal_one(values, refused):
    assert len(make(**values).launch_problems()) == refused


def test_a_relative_sqlite_path_is_the_same_file_from_every_folder(tmp_path):
    settings = Settings.from_env({**KEY, "DATABASE_URL": "sqlite:///data/x.db"}, root=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/data/x.db"


def test_the_real_environment_wins_over_files_and_the_special_file_over_the_plain(tmp_path):
    (tmp_path / ".env").write_text("PORT=1\nSENDER_NAME=plain\nREPLY_TO=plain@example.com\n")
    (tmp_path / ".env.production").write_text("PORT=2\nSENDER_NAME=special\n")
    merged = environment(tmp_path, {"PORT": "3"})
    assert (merged["PORT"], merged["SENDER_NAME"]) == ("3", "special")
    assert merged["REPLY_TO"] == "plain@example.com"


def test_what_the_flask_command_loaded_from_the_plain_file_does_not_beat_the_special_one(tmp_path):
    (tmp_path / ".env").write_text("PORT=1\nFLASK_ENV=development\n")
    (tmp_path / ".env.development").write_text("PORT=2\n")
    assert environment(tmp_path, {"PORT": "1", "FLASK_ENV": "development"})["PORT"] == "2"


def test_trying_the_simulator_needs_no_key_of_ones_own_and_keeps_the_one_it_makes(tmp_path):
    def read(root):
        return {"EMAIL_BACKEND": "simulator", "SECRET_KEY": ""}

    first, second = load_settings(tmp_path, read), load_settings(tmp_path, read)
    assert first.secret_key == second.secret_key
    assert len(first.secret_key) == 64
    kept = tmp_path / "instance" / "secret_key"
    assert [path.name for path in kept.parent.iterdir()] == ["secret_key"]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_sending_through_ses_needs_a_key_of_ones_own(tmp_path):
    with pytest.raises(ConfigError, match="SECRET_KEY"):
        load_settings(tmp_path, lambda root: {"EMAIL_BACKEND": "ses"})
    assert not (tmp_path / "instance").exists()

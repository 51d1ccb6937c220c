"""`flask --app app aws …`: what the product can set up in AWS by itself."""

from __future__ import annotations

from contextlib import closing

import click

from aws.clients import AwsClients
from aws.critical_set import CannotMake, carry_out, plan_critical_set
from commands.terminal import Nouns, answer, json_option, refuse, settings


@click.group("aws", cls=Nouns)
def aws() -> None:
    """What the product can set up in AWS by itself."""


@aws.command("critical-set")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@json_option
def critical_set(yes: bool, as_json: bool) -> None:
    """Make the configuration set for large campaigns, after showing what will be done."""
    with closing(AwsClients(settings())) as clients:
        try:
            plan = plan_critical_set(clients.ses, settings().ses_configuration_set)
            for step in plan.steps:
                click.echo(step.sentence, err=True)
            if plan.steps and not yes and not click.confirm("Do this in AWS?", err=True):
                refuse("Nothing was changed.")
            carry_out(clients.ses, plan)
        except CannotMake as problem:
            refuse(str(problem))
    document = {"name": plan.name, "changed": [step.sentence for step in plan.steps]}
    words = "is ready" if plan.steps else "is as it should be"
    answer(document, as_json, f"The configuration set {plan.name} {words}.")

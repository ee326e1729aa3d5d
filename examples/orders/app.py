"""Django: a handler that writes an order and its clip down in one transaction, in one Postgres.

`polyreel worker` submits the clip. Rolled back, neither is there, and nothing is ever sent.
"""

import os
import secrets
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from polyreel import ClaimedError, Client
from polyreel.engines.procrastinate import ProcrastinateEngine

LEDGER = os.environ["POLYREEL_LEDGER"]
place = urlsplit(LEDGER)
settings.configure(
    ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "localhost").split(","),
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": place.path.strip("/"),
            "USER": place.username,
            "PASSWORD": place.password,
            "HOST": place.hostname or parse_qs(place.query).get("host", [""])[0],
            "PORT": place.port or "",
        }
    },
)
client = Client.from_env(ledger=LEDGER)
engine = ProcrastinateEngine(client)


@transaction.atomic
def take(number: int, prompt: str, *, fail: bool) -> None:
    """Write an order down, and its clip: both, or neither."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (number) VALUES (%s)", [number])
    client.enqueue(
        prompt,
        duration=5,
        reference=f"order {number}",
        output="clips",
        connection=connection.connection,  # the psycopg connection beneath Django's
        engine=engine,
    )
    if fail:
        raise ValueError("something went wrong after that")


def order(request: HttpRequest, number: int) -> HttpResponse:
    """POST takes an order, and has its clip made."""
    try:
        take(number, str(request.GET["prompt"]), fail="fail" in request.GET)
    except ClaimedError:  # ordered before
        return JsonResponse({"order": number}, status=409)
    return JsonResponse({"order": number}, status=201)


urlpatterns = [path("orders/<int:number>", order)]
application = get_wsgi_application()

"""Accounts, sign-in, refresh and what a token says, against a real database."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from auth_lab import ISSUER, Auth, Server
from joserfc import jwk, jwt

METADATA = {"tenant_id": "acme", "personas": ["support", "sales"]}


def _account(auth: Auth, **fields: object) -> dict[str, object]:
    made = auth.admin(
        "POST",
        "/admin/users",
        {
            "email": f"{uuid4().hex}@example.org",
            "password": "correct horse",
            "app_metadata": METADATA,
            **fields,
        },
    )
    assert made.status_code == 200, made.text
    body: dict[str, object] = made.json()
    return body


def _email(account: dict[str, object]) -> str:
    return str(account["email"])


def test_health_says_who_it_is_without_a_key(auth: Auth) -> None:
    assert set(auth.get("/health").json()) == {"version", "name", "description"}


def test_a_token_carries_the_claims_that_the_gateway_needs(auth: Auth, ec_key: jwk.Key) -> None:
    account = _account(auth)
    answer = auth.sign_in(_email(account)).json()
    token = jwt.decode(answer["access_token"], ec_key, algorithms=["ES256"])
    assert token.header["kid"] == "first"
    expected = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": account["id"],
        "role": "authenticated",
        "email": account["email"],
        "app_metadata": METADATA,
    }
    assert {name: token.claims[name] for name in expected} == expected
    assert token.claims["exp"] - token.claims["iat"] == answer["expires_in"] == 3600
    assert token.claims["session_id"]


def test_the_bearer_of_a_token_can_read_the_account_but_no_secret(auth: Auth) -> None:
    account = _account(auth)
    token = auth.sign_in(_email(account)).json()["access_token"]
    shown = auth.get("/user", token)
    assert shown.json()["id"] == account["id"]
    assert "password" not in shown.text


def test_an_address_matches_whatever_its_case(auth: Auth) -> None:
    account = _account(auth, email=f"Mixed.{uuid4().hex}@Example.org")
    assert auth.sign_in(_email(account).upper()).status_code == 200


def test_a_wrong_password_and_an_unknown_address_look_the_same(auth: Auth) -> None:
    wrong = auth.sign_in(_email(_account(auth)), "wrong horse")
    unknown = auth.sign_in(f"{uuid4().hex}@example.org")
    assert wrong.status_code == unknown.status_code == 400
    assert wrong.json() == unknown.json()
    assert wrong.json()["error_code"] == "invalid_credentials"


def test_an_account_without_a_password_cannot_sign_in(auth: Auth) -> None:
    made = auth.admin("POST", "/admin/users", {"email": f"{uuid4().hex}@example.org"}).json()
    assert auth.sign_in(made["email"], "x").status_code == 400


def test_guessing_is_stopped_and_only_for_that_account(auth: Auth) -> None:
    target, other = _account(auth), _account(auth)
    for _ in range(3):
        assert auth.sign_in(_email(target), "wrong horse").status_code == 400
    stopped = auth.sign_in(_email(target))
    assert stopped.status_code == 429
    assert int(stopped.headers["Retry-After"]) > 0
    assert auth.sign_in(_email(other)).status_code == 200


def test_a_refresh_token_is_good_for_one_use(auth: Auth) -> None:
    first = auth.sign_in(_email(_account(auth))).json()
    second = auth.post("/token?grant_type=refresh_token", refresh_token=first["refresh_token"])
    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]
    third = auth.post(
        "/token?grant_type=refresh_token", refresh_token=second.json()["refresh_token"]
    )
    assert third.status_code == 200


def test_a_refresh_token_used_again_ends_the_session(auth: Auth) -> None:
    first = auth.sign_in(_email(_account(auth))).json()
    path = "/token?grant_type=refresh_token"
    second = auth.post(path, refresh_token=first["refresh_token"]).json()
    again = auth.post(path, refresh_token=first["refresh_token"])
    assert again.json()["error_code"] == "refresh_token_already_used"
    thief = auth.post(path, refresh_token=second["refresh_token"])
    assert thief.json()["error_code"] == "refresh_token_not_found"
    assert auth.get("/user", second["access_token"]).json()["error_code"] == "session_not_found"


def test_a_new_password_ends_the_sessions(auth: Auth) -> None:
    account = _account(auth)
    token = auth.sign_in(_email(account)).json()["access_token"]
    auth.admin("PUT", f"/admin/users/{account['id']}", {"password": "another horse"})
    assert auth.get("/user", token).status_code == 403
    assert auth.sign_in(_email(account)).status_code == 400
    assert auth.sign_in(_email(account), "another horse").status_code == 200


def test_a_banned_account_is_out_until_the_ban_ends(auth: Auth) -> None:
    account = _account(auth)
    path = f"/admin/users/{account['id']}"
    token = auth.sign_in(_email(account)).json()["access_token"]
    auth.admin("PUT", path, {"ban_duration": "24h"})
    assert auth.get("/user", token).status_code == 403
    assert auth.sign_in(_email(account)).json()["error_code"] == "user_banned"
    auth.admin("PUT", path, {"ban_duration": "none"})
    assert auth.sign_in(_email(account)).status_code == 200


def test_metadata_is_merged_and_null_takes_away(auth: Auth) -> None:
    path = f"/admin/users/{_account(auth)['id']}"
    change = {"personas": ["sales"], "tenant_id": None, "plan": {"a": None}}
    assert auth.admin("PUT", path, {"app_metadata": change}).status_code == 200
    kept = auth.admin("GET", path).json()["app_metadata"]
    assert kept == {"personas": ["sales"], "plan": {"a": None}}


def test_a_deleted_account_is_gone(auth: Auth) -> None:
    account = _account(auth)
    path = f"/admin/users/{account['id']}"
    assert auth.admin("DELETE", path).status_code == 200
    assert auth.admin("GET", path).status_code == 404
    assert auth.admin("DELETE", path).status_code == 404
    assert auth.sign_in(_email(account)).status_code == 400


def test_accounts_are_listed_in_pages(auth: Auth) -> None:
    newest = [_account(auth)["id"] for _ in range(3)][::-1]
    first = auth.admin("GET", "/admin/users?per_page=2").json()["users"]
    second = auth.admin("GET", "/admin/users?per_page=2&page=2").json()["users"]
    assert [user["id"] for user in first + second][:3] == newest


def test_an_address_is_taken_once(auth: Auth) -> None:
    account = _account(auth)
    again = auth.admin("POST", "/admin/users", {"email": account["email"]})
    assert (again.status_code, again.json()["error_code"]) == (422, "email_exists")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email": "no address"}, "validation_failed"),
        ({"email": "a@b.example", "password": "short"}, "weak_password"),
        ({"email": "a@b.example", "tenant": "x"}, "validation_failed"),
        ({"email": "a@b.example", "app_metadata": []}, "validation_failed"),
        ({"email": "a@b.example", "user_metadata": {"x": "\x00"}}, "validation_failed"),
        ([], "validation_failed"),
    ],
)
def test_an_account_that_makes_no_sense_is_refused(auth: Auth, fields: object, code: str) -> None:
    refused = auth.admin("POST", "/admin/users", fields)
    assert refused.status_code in (400, 422)
    assert refused.json()["error_code"] == code


@pytest.mark.parametrize("key", [None, "wrong", "service-key-for-tests-onl"])
def test_administration_needs_the_service_key(auth: Auth, key: str | None) -> None:
    assert auth.get("/admin/users", key).status_code == (403 if key else 401)
    assert auth.post("/admin/users", key, email="x@y.example").status_code == (403 if key else 401)


def test_a_user_token_does_not_administrate(auth: Auth) -> None:
    token = auth.sign_in(_email(_account(auth))).json()["access_token"]
    assert auth.get("/admin/users", token).status_code == 403


@pytest.mark.parametrize("grant_type", ["", "client_credentials"])
def test_another_grant_type_is_refused(auth: Auth, grant_type: str) -> None:
    assert auth.post(f"/token?grant_type={grant_type}").status_code == 400


def test_the_log_and_the_tables_hold_no_secret(auth: Auth, server: Server) -> None:
    account = _account(auth, password="a-very-secret-password")
    answer = auth.sign_in(_email(account), "a-very-secret-password").json()
    log = Path(auth.log).read_text()
    with psycopg.connect(server.owner_dsn) as connection:
        rows = str(connection.execute("SELECT u.* FROM auth.users u").fetchall())
        rows += str(connection.execute("SELECT t.* FROM auth.refresh_tokens t").fetchall())
    for secret in ("a-very-secret-password", answer["refresh_token"], answer["access_token"]):
        assert secret not in log
        assert secret not in rows


def test_the_service_may_change_rows_and_nothing_else(server: Server) -> None:
    with psycopg.connect(server.service_dsn, autocommit=True) as connection:
        for statement in (
            "CREATE TABLE auth.more (x int)",
            "DROP TABLE auth.users",
            "ALTER TABLE auth.users ADD COLUMN x int",
            "TRUNCATE auth.users CASCADE",
            "DROP SCHEMA auth CASCADE",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)

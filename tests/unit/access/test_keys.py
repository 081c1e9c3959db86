"""Callers by their keys, and what those open."""

from __future__ import annotations

import re

import pytest

from gateway.access.keys import PUBLIC, Limits, Tenants, digest_of, new_key
from gateway.errors import Unauthorised
from gateway.settings import AuthSettings


def tenants(**keys: object) -> Tenants:
    return Tenants(AuthSettings.model_validate({"keys": keys}).by_tenant())


def test_without_keys_everybody_is_public_and_may_everything() -> None:
    caller = tenants().of(None)
    assert (caller.tenant, caller.limits) == (PUBLIC, Limits())
    assert caller.may("admin")
    assert caller.may("emergency")


def test_a_digest_alone_opens_everything_and_an_object_what_it_says() -> None:
    known = tenants(
        all=digest_of("a"),
        some={"digest": digest_of("b"), "scopes": ["ct", "emergency"], "requests_per_minute": 3, "inflight": 2},
        none={"digest": digest_of("c"), "scopes": []},
    )
    assert known.of("a").may("admin")
    some = known.of("b")
    assert (some.tenant, some.limits) == ("some", Limits(3, 2))
    assert some.may("ct")
    assert some.may("emergency")
    assert not some.may("damage")
    assert not some.may("admin")
    assert not known.of("c").may("ct")


def test_while_keys_change_the_old_and_the_new_are_one_caller() -> None:
    known = tenants(one={"digest": [digest_of("old"), digest_of("new")], "scopes": ["ct"]}, two=digest_of("other"))
    assert known.of("old") == known.of("new")
    assert known.of("old").tenant == "one"
    assert known.of("other").tenant == "two"


@pytest.mark.parametrize("key", [None, "", "wrong", digest_of("a"), digest_of("a")[7:]])
def test_what_is_no_key_is_refused(key: str | None) -> None:
    with pytest.raises(Unauthorised):
        tenants(one=digest_of("a")).of(key)


def test_new_keys_differ_and_their_digests_are_settings() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", key) for key in keys)
    key = keys.pop()
    assert tenants(one=digest_of(key)).of(key).tenant == "one"

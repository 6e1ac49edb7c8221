from __future__ import annotations

import pytest

from tests.fake_codec import FakeCodec, FakeModel
from ugicm_codec.errors import UnknownModel, WrongModel
from ugicm_codec.limits import Limits
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.models import Models, load_models

FIRST = FakeCodec()
OTHER = FakeCodec(FakeModel("other", latents_id=b"otherone"))
TWIN = FakeCodec(FakeModel("twin", latents_id=b"otherone"))


def test_the_first_model_is_the_default():
    assert Models([OTHER, FIRST]).named("") is OTHER


def test_a_stream_gets_the_first_model_with_its_latents_id():
    models = Models([FIRST, OTHER, TWIN])
    assert models.decoding(b"otherone", "") is OTHER
    assert models.decoding(b"otherone", "twin") is TWIN


def test_a_stream_without_a_model_is_refused_by_what_is_loaded():
    models = Models([FIRST])
    assert not models.decodes(b"otherone")
    with pytest.raises(WrongModel, match=b"fakefake".hex()):
        models.decoding(b"otherone", "")
    with pytest.raises(WrongModel):
        Models([FIRST, OTHER]).decoding(b"otherone", "fake")


def test_an_unknown_name_is_refused_by_the_known_ones():
    with pytest.raises(UnknownModel, match="fake, other"):
        Models([FIRST, OTHER]).named("missing")


def test_an_endless_name_is_not_repeated():
    with pytest.raises(UnknownModel) as caught:
        Models([FIRST]).named("x" * 20_000)
    assert len(str(caught.value)) < 200


def test_two_models_of_one_name_are_refused():
    with pytest.raises(BadSettings, match="different names"):
        Models([FIRST, FakeCodec()])


def test_a_model_that_is_not_there_is_a_wrong_setting():
    with pytest.raises(BadSettings, match="nowhere"):
        load_models(["nowhere"], device="cpu", limits=Limits())


def test_no_model_at_all_is_refused():
    with pytest.raises(BadSettings, match="at least one"):
        load_models([], device="cpu", limits=Limits())

"""Names that NKI lacks say what to write instead."""

import re

import pytest

from tests.support import nisa, nl
from trnlab.nki.lookup import nearest


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        (nl, "lod", "nki.language has no 'lod'; did you mean 'load'?"),
        (nisa, "tensor_scaler", "nki.isa has no 'tensor_scaler'; did you mean 'tensor_scalar'?"),
        (nl, "mgrid", "nki.language has no 'mgrid'; neuronxcc.nki.language has it: trnlab migrate"),
        (nl, "qqq", "nki.language has no 'qqq'"),
    ],
)
def test_a_name_that_a_module_lacks(module, name, said):
    with pytest.raises(AttributeError, match=re.escape(said)):
        getattr(module, name)
    assert not hasattr(module, name)


def test_the_first_of_several_that_are_as_near():
    assert nearest("op", ["dst", "op0", "op1"]) == "op0"
    assert nearest("op", ["dst", "data"]) == ""
    assert nearest("op", []) == ""

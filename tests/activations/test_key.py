import hashlib
import inspect

import numpy as np
import pytest
import torch

from tortie.activations.key import KeyContext, facts_key, hash_tensors
from tortie.errors import UsageError

IMAGE = "ab" * 32
PARTS = {
    "image_sha256": IMAGE,
    "decoder": 1,
    "preprocessing": '{"size":224}',
    "view": "0",
    "network_code": 1,
    "structure": "efficientnet-lite0",
    "tensors": "cd" * 32,
    "cut": "avgpool",
    "precision": "bfloat16",
    "engine": "eager",
    "device": "cpu",
}
CHANGED = {
    "image_sha256": "ac" + "ab" * 31,
    "decoder": 2,
    "preprocessing": '{"size":225}',
    "view": "crop-1",
    "network_code": 2,
    "structure": "efficientnet-lite1",
    "tensors": "ce" + "cd" * 31,
    "cut": "conv_head",
    "precision": "float32",
    "engine": "traced",
    "device": "cuda",
}


def entry_key(image_sha256, view, **context):
    return KeyContext(**context).key(image_sha256, view)


def test_key_is_the_documented_hash():
    # The encoding, written out: a change of it must come with a new tag, or old entries lie.
    context = hashlib.sha256(
        b"tortie activation context 1\n"
        b'{"cut":"avgpool","decoder":1,"device":"cpu","engine":"eager","network_code":1,'
        b'"precision":"bfloat16","preprocessing":"{\\"size\\":224}",'
        b'"structure":"efficientnet-lite0","tensors":"' + b"cd" * 32 + b'"}'
    ).digest()
    expected = hashlib.sha256(b"tortie activation 1\n" + context + b"\xab" * 32 + b"0").digest()
    assert entry_key(**PARTS) == expected


def test_every_part_is_required_and_tested_here():
    context = inspect.signature(KeyContext).parameters
    assert {*context, *inspect.signature(KeyContext.key).parameters} - {"self"} == set(PARTS)
    assert set(PARTS) == set(CHANGED)
    for parameter in context.values():
        assert parameter.default is inspect.Parameter.empty
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


def test_each_part_changes_the_key():
    keys = [entry_key(**PARTS)]
    keys += [entry_key(**(PARTS | {part: CHANGED[part]})) for part in PARTS]
    assert len(set(keys)) == len(PARTS) + 1


def test_text_cannot_move_from_one_part_to_the_next():
    for left, right in (("engine", "device"), ("cut", "precision"), ("structure", "tensors")):
        one = entry_key(**(PARTS | {left: "ab", right: "c"}))
        other = entry_key(**(PARTS | {left: "a", right: "bc"}))
        quoted = entry_key(**(PARTS | {left: 'ab","' + right + '":"c', right: "c"}))
        assert len({one, other, quoted}) == 3


def test_a_number_is_not_its_text():
    assert entry_key(**PARTS) != entry_key(**(PARTS | {"decoder": "1"}))


def test_facts_depend_on_image_and_decoder_alone():
    expected = hashlib.sha256(b"tortie image facts 1\n" + b"\xab" * 32 + b"7").digest()
    assert facts_key(IMAGE, 7) == expected
    keys = {facts_key(IMAGE, 7), facts_key(IMAGE, 8), facts_key("cd" * 32, 7)}
    assert len(keys | {entry_key(**PARTS)}) == 4


@pytest.mark.parametrize("wrong", ["", "ab", "ab" * 33, "zz" * 32, "ab " * 32, " " + "ab" * 32])
def test_what_is_no_sha256_is_refused(wrong):
    with pytest.raises(UsageError, match="not a SHA-256 of 64 hexadecimal digits"):
        entry_key(**(PARTS | {"image_sha256": wrong}))
    with pytest.raises(UsageError, match="not a SHA-256"):
        facts_key(wrong, 1)


def test_tensor_hash_by_hand():
    head = b'["weight", "float32", [2]]'
    data = len(head).to_bytes(8, "little") + head + bytes.fromhex("0000803f 00000040")
    expected = hashlib.sha256(b"tortie tensors 2\n" + data).hexdigest()
    assert hash_tensors([("weight", torch.tensor([1.0, 2.0]))]) == expected
    assert hash_tensors([("weight", np.array([1, 2], np.float32))]) == expected


def test_tensor_hash_sees_name_type_shape_and_value():
    base = torch.arange(6, dtype=torch.int32).reshape(2, 3)
    hashes = {
        hash_tensors([("a", base)]),
        hash_tensors([("b", base)]),
        hash_tensors([("a", base.reshape(3, 2))]),
        hash_tensors([("a", base.view(torch.float32))]),  # the same bytes
        hash_tensors([("a", base + 1)]),
        hash_tensors([("a", base[:1]), ("b", base[1:])]),
        hash_tensors([]),
    }
    assert len(hashes) == 7


def test_tensor_hash_sees_neither_order_nor_layout_nor_gradient():
    first = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    second = torch.tensor(3)  # as batch normalisation's count of batches: no dimension
    plain = hash_tensors([("first", first), ("second", second)])
    last = torch.nn.Parameter(first.contiguous(memory_format=torch.channels_last))
    assert hash_tensors([("second", second), ("first", last)]) == plain
    assert hash_tensors([("empty", torch.empty(0, 3)), ("bf", first.bfloat16())])

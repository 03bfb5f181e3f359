"""Damaged and hostile files end in one kind of error, at once and without using up the machine."""

import io
import json
import os
import socket
import struct
import zipfile

import numpy as np
import pytest

from robustrec.untrusted import (
    UnreadableError,
    open_npy,
    parse_json,
    parse_json_object,
    parse_toml,
    read_bytes,
    read_npz,
    read_text,
)


def npy(header: bytes, values: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(header)) + header + values


def zipped(members, method=zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("pipe")
    for name, kind in [("pipe", "named pipe"), ("link", "named pipe"), ("socket", "socket"), (".", "directory")]:
        with pytest.raises(UnreadableError, match=f"it is a {kind}, not a regular file"):
            read_bytes(tmp_path / name, most=10)
    for name in ("missing", "a\0b", "x" * 5000):
        with pytest.raises(UnreadableError):
            read_bytes(tmp_path / name, most=10)


def test_limits_are_of_bytes_and_texts_are_utf8(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + "é".encode())
    assert read_text(tmp_path / "a") == "é"
    assert read_bytes(tmp_path / "a", most=5) == b"\xef\xbb\xbf\xc3\xa9"
    with pytest.raises(UnreadableError, match="larger than 4 bytes"):
        read_bytes(tmp_path / "a", most=4)
    (tmp_path / "a").write_bytes(b"ab\xe9")
    with pytest.raises(UnreadableError, match="byte 2 is 0xe9"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("NaN", "NaN is not a number"),
        ("[-Infinity]", "is not a number"),
        ("1e999", "is not a finite float64"),
        ("9" * 41, "more than 40 digits"),
        ("9" * 5000, "more than 40 digits"),
        ("[" * 100_000, "nested levels"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested levels"),
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        (r'["\ud800"]', "surrogate"),
    ],
)
def test_json_that_is_refused(text, message):
    with pytest.raises(UnreadableError, match=message):
        parse_json(text)


def test_json_that_is_read_is_what_json_reads():
    text = json.dumps({"a": ["[" * 1000, '\\"{{', 1, -2.5, None, True, {"b": "\U0001f600 é"}], "c": 2**64})
    assert parse_json(text) == json.loads(text)
    assert parse_json(json.dumps([["x"]] * 200)) == [["x"]] * 200, "wide is not deep"
    with pytest.raises(UnreadableError, match="expected a JSON object but got a list"):
        parse_json_object("[]")


def test_strings_without_an_end_take_no_longer_for_being_long():
    for text in ('"' + '\\"' * 200_000, '"' * 200_001, '["' + "\\" * 200_001):
        with pytest.raises(UnreadableError):
            parse_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "not valid TOML"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("a = " + "9" * 50, "more than 40 digits"),
        ("a = " + "[" * 50_000, "nested levels"),
        ("a = " + "[" * 70 + "]" * 70, "nested levels"),
        (".".join("a" * 50_000) + " = 1", "a key of more than 64 parts"),
        ('[ "a" . ' + "b . " * 1000 + "c]", "a key of more than 64 parts"),
        ("a = 1\na = 2", "not valid TOML"),
    ],
)
def test_toml_that_is_refused(text, message):
    with pytest.raises(UnreadableError, match=message):
        parse_toml(text)


def test_toml_that_is_read():
    assert parse_toml('a.b = [1, 2.5]\n[[c]]\nd = "x. y. z"') == {"a": {"b": [1, 2.5]}, "c": [{"d": "x. y. z"}]}
    assert parse_toml("# " + "a" * 500_000) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"\x93NUMPY\x01", "truncated"),
        (b"PK\x03\x04" + bytes(40), "does not begin"),
        (npy(b"{'descr':'<f4','fortran_order':False,'shape':((50,8)\n"), "header is damaged"),
        (npy(b"{'descr':'<f4','fortran_order':False,'shape':(3,8),}\n"), "truncated: shape"),
        (npy(b"{'descr':'<f4','fortran_order':False,'shape':(-1,8),}\n"), "shape"),
        (npy(b"{'descr':'<f4','fortran_order':False,'shape':(True,),}\n"), "shape"),
        (npy(b"{'descr':'<f4','fortran_order':False,'shape':(%d,),}\n" % 2**64), "shape"),
        (npy(b"{'descr':'<f4','fortran_order':False,'shape':(%d,%d),}\n" % (2**61, 2**61)), "truncated: shape"),
        (npy(b"{'descr':'|O','fortran_order':False,'shape':(1,),}\n", bytes(8)), "Python objects"),
        (npy(b"{'descr':[('a','<f4')],'fortran_order':False,'shape':(1,),}\n", bytes(8)), "dtype"),
        (npy(b"{'descr':'<M8[s]','fortran_order':False,'shape':(1,),}\n", bytes(8)), "dtype"),
        (npy(b"{'descr':'<f4','fortran_order':0,'shape':(1,),}\n", bytes(8)), "damaged"),
        (npy(b"{'descr':'<f4','shape':(1,),}\n", bytes(8)), "damaged"),
        (npy(b"__import__('os').getcwd()"), "damaged"),
        (npy(b"(" * 9000), "damaged"),
        (npy(b"-" * 9000 + b"1"), "damaged"),
        (npy(b"'\\d'\x00"), "damaged"),
        (npy(b"\xff\xfe", version=b"\x03\x00"), "damaged"),
        (npy(b" " * 60_000), "at most 10000"),
        (npy(b"", version=b"\x09\x00"), "version 9.0"),
    ],
)
def test_npy_that_is_refused(content, message, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UnreadableError, match=message):
        open_npy(tmp_path / "a.npy")
    with pytest.raises(UnreadableError, match=message):
        read_npz(zipped([("a.npy", content)]))


@pytest.mark.parametrize("values", [np.arange(12.0).reshape(3, 4), np.zeros((0, 3), np.float32), np.array(["é", "b"])])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [None, (2, 0), (3, 0)])
def test_npy_and_npz_that_are_read_are_what_numpy_reads(values, order, version, tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.asarray(values, order=order), version=version)
    found = open_npy(tmp_path / "a.npy")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **{"x|y": np.asarray(values, order=order), "b": values})
        again = read_npz(stream.getvalue())
        assert [*again] == ["x|y", "b"]
        np.testing.assert_array_equal(again["x|y"], values)


def test_a_header_of_python_2_is_read(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 1L), }\n"
    (tmp_path / "a.npy").write_bytes(npy(header, np.array([1.0, 2.0]).tobytes()))
    np.testing.assert_array_equal(open_npy(tmp_path / "a.npy"), [[1.0], [2.0]])


def test_npz_that_are_refused(tmp_path):
    one = npy(b"{'descr':'<f8','fortran_order':False,'shape':(1000,),}\n", bytes(8000))
    good = zipped([("a.npy", one)])
    for content in (b"", b"PK", good[: len(good) // 2], good[:-1]):
        with pytest.raises(UnreadableError, match=r"not an \.npz file, or damaged"):
            read_npz(content)
    start = good.index(b"a.npy") + 20
    with pytest.raises(UnreadableError):
        read_npz(good[:start] + b"\xff\xff\xff\xff" + good[start + 4 :])
    with pytest.raises(UnreadableError, match="more than 7 KiB"):
        read_npz(good, most=7 << 10)
    with pytest.raises(UnreadableError, match="not an array"):
        read_npz(zipped([("a.txt", one)]))
    with pytest.raises(UnreadableError, match="not an array"):
        read_npz(zipped([("a\x1b[2J.npy", one)]))
    with pytest.raises(UnreadableError, match="compressed in another way"):
        read_npz(zipped([("a.npy", one)], zipfile.ZIP_LZMA))
    with pytest.raises(UnreadableError, match="more bytes"):
        read_npz(zipped([("a.npy", one + b"x")]))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped([("a.npy", one), ("a.npy", one)])
    with pytest.raises(UnreadableError, match="twice"):
        read_npz(twice)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnreadableError, match="directory"):
        read_npz(tmp_path / "folder")


def test_a_member_that_says_it_is_small_is_not_inflated():
    """An archive whose directory lies: 8 MiB of zeros that it declares as a hundred bytes."""
    content = npy(b"{'descr':'|u1','fortran_order':False,'shape':(10,),}\n", bytes(8 << 20))
    archive = bytearray(zipped([("a.npy", content)]))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = archive.index(signature)
        archive[at + place : at + place + 4] = struct.pack("<I", 100)
    assert len(archive) < 1 << 20
    with pytest.raises(UnreadableError, match=r"damaged|more bytes"):
        read_npz(bytes(archive))

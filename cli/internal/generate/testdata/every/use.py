"""Uses every kind of field as a node would; run, and type-checked with mypy --strict."""

import datetime

import old_pb2
import public_input_pb2 as p
from public_input_pb2 import RED, Color, Pub, Request, Response
from shared.money_types_pb2 import Money


def main() -> None:
    r = Request(
        name="Ada",
        numbers=[1, 2],
        color=RED,
        colors=[Color.RED, "NONE"],
        at=datetime.datetime(2020, 1, 1),
        wait=datetime.timedelta(seconds=2),
        extra={"a": 1, "b": [1, {"c": None}]},
        list=[1, "x"],
        price=Money(units=3, currency_code="EUR"),
        inner=Request.Inner(kind=Request.Inner.GOOD),
        b={"name": "in a mapping"},
    )
    r.name += " Lovelace"
    r.numbers.append(3)
    r.children["k"].name = "child"
    r.weights[3] = 1.5
    r.inners.add(kind=Request.Inner.Kind.GOOD)
    assert r.at.ToDatetime().year == 2020
    r.at = datetime.datetime(2021, 1, 1)
    r.wait = datetime.timedelta(seconds=3)
    r.extra = {"z": 1}
    r.list = [1, 2]
    assert r.WhichOneof("choice") == "b"
    r.a = 4
    assert r.WhichOneof("choice") == "a"
    assert r.WhichOneof("other") is None
    assert r.HasField("inner") and not r.HasField("maybe") and r.HasField("choice")
    r.ClearField("inner")
    assert not r.HasField("inner")
    for inner in r.inners:
        assert inner.kind == Request.Inner.GOOD
    assert Color.Name(1) == "RED" and Color.Value("RED") == RED
    assert Color.keys() == ["NONE", "RED", "True"] and Color.values()[1] == Color.RED
    assert Request.FromString(r.SerializeToString()) == r
    n = p.Nasty(Response=Response(text="t"), s=p.str(str="s", int=1))
    assert n.s.str == "s" and n.s.int == 1 and n.Response.text == "t"
    assert Pub(p="public").p == "public" and p.PUB_A == 1
    o = old_pb2.Old(r="r")
    assert o.d == 4 and not o.grp.HasField("i")
    o.Extensions[old_pb2.note] = "noted"
    assert old_pb2.Old.FromString(o.SerializeToString()).Extensions[old_pb2.note] == "noted"
    print("used", len(r.numbers))


main()

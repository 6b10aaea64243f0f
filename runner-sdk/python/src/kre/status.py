"""The body of an error message: google.rpc.Status with one google.rpc.ErrorInfo.

The two types are declared here, in a descriptor pool of their own, so that the SDK neither needs
googleapis-common-protos nor gets in its way: a message of that package reads what these write.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto


def _declare() -> tuple[type[Any], type[Any]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="kre/status.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=["google/protobuf/any.proto"],
    )
    file.message_type.add(
        name="Status",
        field=[
            _Field(name="code", number=1, type=_Field.TYPE_INT32),
            _Field(name="message", number=2, type=_Field.TYPE_STRING),
            _Field(name="details", number=3, label=_Field.LABEL_REPEATED, type_name=".google.protobuf.Any"),
        ],
    )
    info = file.message_type.add(
        name="ErrorInfo",
        field=[
            _Field(name="reason", number=1, type=_Field.TYPE_STRING),
            _Field(name="domain", number=2, type=_Field.TYPE_STRING),
            _Field(
                name="metadata",
                number=3,
                label=_Field.LABEL_REPEATED,
                type_name=".google.rpc.ErrorInfo.MetadataEntry",
            ),
        ],
    )
    entry = info.nested_type.add(
        name="MetadataEntry",
        field=[
            _Field(name="key", number=1, type=_Field.TYPE_STRING),
            _Field(name="value", number=2, type=_Field.TYPE_STRING),
        ],
    )
    entry.options.map_entry = True
    pool = descriptor_pool.DescriptorPool()
    any_file = descriptor_pb2.FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(any_file)
    pool.Add(any_file)
    pool.Add(file)
    return (
        message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status")),
        message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.ErrorInfo")),
    )


Status: type[Any]
"""google.rpc.Status: code, message and details. `data.Unpack(status)` reads an error message's body."""
ErrorInfo: type[Any]
"""google.rpc.ErrorInfo: reason, domain and metadata, the one detail of an error message."""
Status, ErrorInfo = _declare()

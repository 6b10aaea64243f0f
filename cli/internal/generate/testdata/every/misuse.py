from public_input_pb2 import Request, Response

Response(txt="x")
r = Request()
r.name = 1
r.inner = Request.Inner()
r.HasField("name")
r.nope
r.color = "RED"

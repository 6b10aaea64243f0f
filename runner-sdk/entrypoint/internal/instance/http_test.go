package instance_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// response is an answer over HTTP, read whole.
type response struct {
	code   int
	header http.Header
	body   string
}

// send makes a request as curl would; headers are `Name: value`.
func (w *world) send(method, path, body string, headers ...string) response {
	return w.sendReader(method, path, strings.NewReader(body), headers...)
}

func (w *world) sendReader(method, path string, body io.Reader, headers ...string) response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(within(w.t), method, w.url+path, body)
	require.NoError(w.t, err)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(w.t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, answer.Body.Close())
	return response{code: answer.StatusCode, header: answer.Header, body: string(text)}
}

const (
	asJSON  = "Content-Type: application/json"
	asProto = "Content-Type: application/proto"
)

// problem is the body of an error in JSON.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"details"`
}

func (r response) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	require.NoError(t, json.Unmarshal([]byte(r.body), &p), r.body)
	return p
}

func TestJSONIsAnsweredWithTheProtosFieldNamesAndZeroes(t *testing.T) {
	w := newWorld(t)
	w.newNode("weigh", weigher(t))
	for name, contentType := range map[string]string{
		"plain": "application/json", "with charset": "application/json; charset=utf-8", "with charset in capitals": "application/json;charset=UTF-8",
	} {
		t.Run(name, func(t *testing.T) {
			got := w.send("POST", "/echo.Echo/Weigh", `{"carat": 2.5}`, "Content-Type: "+contentType)
			require.Equal(t, http.StatusOK, got.code)
			require.Regexp(t, `^\{"grams":0\.5,"unit_name":"","count":"0"\}$`, got.body, "compact, in the proto's order")
			require.True(t, wire.ValidRequestID(got.header.Get("X-Request-Id")))
		})
	}
}

func TestJSONThatDoesNotFitIsAnInvalidArgumentThatNamesTheField(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ body, want string }{
		"unknown field":     {`{"carrat": 1}`, "Weigh: field carrat: "},
		"wrong kind":        {`{"carat": "heavy"}`, "Weigh: field carat: "},
		"text for a list":   {`{"name": "x", "parts": "many"}`, "Weigh: field parts: "},
		"deep in a list":    {`{"parts": [{"carat": 1}, {"parts": [{"count": 1.5}]}]}`, "Weigh: field parts[1].parts[0].count: "},
		"second line":       {"{\"name\": \"größe\",\n \"count\": true}", "Weigh: field count: "},
		"not JSON":          {`carat=1`, "Weigh: syntax error"},
		"cut short":         {`{"carat":`, "Weigh: "},
		"an array":          {`[]`, "Weigh: "},
		"nothing":           {"", "Weigh: the body is empty; want a JSON object, such as {}"},
		"text after object": {`{} {}`, "Weigh: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.send("POST", "/echo.Echo/Weigh", c.body, asJSON)
			require.Equal(t, http.StatusBadRequest, got.code)
			require.Equal(t, "invalid_argument", got.problem(t).Code)
			require.Contains(t, got.problem(t).Message, c.want)
			require.True(t, wire.ValidRequestID(got.header.Get("X-Request-Id")))
		})
	}
	for _, line := range w.calls("InvalidArgument") {
		require.NotContains(t, line.ContextMap(), "error", "it may quote the payload")
	}
}

func TestWhatIsAskedWronglyOverHTTPIsToldInASentence(t *testing.T) {
	w := newWorld(t, func(o *instance.Options) { o.MaxRequestBytes = 1000 })
	long := `"` + strings.Repeat("x", 1000) + `"`
	for name, c := range map[string]struct {
		method, path, body, contentType string
		code                            int
		name, message                   string
	}{
		"unknown path": {"POST", "/echo.Echo/Shout", "{}", "application/json", 404, "unimplemented",
			"version echo-v1 answers no rpc /echo.Echo/Shout; it answers /echo.Echo/Say, /echo.Echo/Weigh"},
		"rpc without a workflow":  {"POST", "/echo.Echo/Unanswered", "{}", "application/json", 404, "unimplemented", "answers no rpc /echo.Echo/Unanswered"},
		"path in a browser":       {"GET", "/favicon.ico", "", "", 404, "unimplemented", "answers no rpc /favicon.ico"},
		"wrong method":            {"GET", "/echo.Echo/Say", "", "", 405, "unimplemented", `/echo.Echo/Say takes POST, not "GET"`},
		"wrong method for a list": {"POST", "/", "{}", "application/json", 405, "unimplemented", `/ takes GET, HEAD, not "POST"`},
		"form":                    {"POST", "/echo.Echo/Say", "a=1", "application/x-www-form-urlencoded", 415, "invalid_argument", "unsupported content-type; want application/json"},
		"no content type":         {"POST", "/echo.Echo/Say", "{}", "", 415, "invalid_argument", "unsupported content-type"},
		"too large":               {"POST", "/echo.Echo/Say", long, "application/json", 413, "resource_exhausted", "the request is larger than 1000 bytes, which is the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.send(c.method, c.path, c.body, "Content-Type: "+c.contentType)
			require.Equal(t, c.code, got.code)
			require.Equal(t, c.name, got.problem(t).Code)
			require.Contains(t, got.problem(t).Message, c.message)
			require.Equal(t, "application/json", got.header.Get("Content-Type"))
			require.True(t, wire.ValidRequestID(got.header.Get("X-Request-Id")))
		})
	}
	t.Run("too large without saying so", func(t *testing.T) {
		got := w.sendReader("POST", "/echo.Echo/Say", io.MultiReader(strings.NewReader(long)), asJSON)
		require.Equal(t, http.StatusRequestEntityTooLarge, got.code)
		require.Equal(t, "resource_exhausted", got.problem(t).Code)
	})
}

func TestARequestAboveTheBrokersLimitIs413OverHTTP(t *testing.T) {
	w := newWorld(t)
	got := w.send("POST", "/echo.Echo/Say", `"`+strings.Repeat("x", 1<<20)+`"`, asJSON)
	require.Equal(t, http.StatusRequestEntityTooLarge, got.code)
	require.Contains(t, got.problem(t).Message, "the broker takes at most 1044480")
}

func TestAnErrorOfANodeReachesACallerOverHTTPWithItsDetails(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		e.reply(wire.Error, "model", failureBody("model", "out of stones", 3, e.RequestID))
		e.ack()
	})
	got := w.send("POST", "/echo.Echo/Say", `"hello"`, asJSON)
	require.Equal(t, http.StatusInternalServerError, got.code)
	p := got.problem(t)
	require.Equal(t, "internal", p.Code)
	require.Equal(t, "model: out of stones", p.Message)
	require.Len(t, p.Details, 1)
	require.Equal(t, "google.rpc.ErrorInfo", p.Details[0].Type)
	value, err := base64.RawStdEncoding.DecodeString(p.Details[0].Value)
	require.NoError(t, err)
	var info errdetails.ErrorInfo
	require.NoError(t, proto.Unmarshal(value, &info))
	require.Equal(t, "model", info.GetMetadata()["node"])
}

func TestAnAnswerThatCannotBeReadIsAnErrorThatNamesTheNode(t *testing.T) {
	w := newWorld(t)
	broken := []byte("\x0a\x2ftype.googleapis.com/google.protobuf.StringValue\x12\x02\x0a\x05")
	w.newNode("say", func(e entry) { e.reply(wire.OK, "exit", broken); e.ack() })
	got := w.send("POST", "/echo.Echo/Say", `"hello"`, asJSON)
	require.Equal(t, http.StatusInternalServerError, got.code)
	require.Contains(t, got.problem(t).Message, "the answer of node exit to Say is wrong")
}

func TestConnectClientsAreAnswered(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", echo)
	for name, options := range map[string][]connect.ClientOption{
		"protobuf": nil, "JSON": {connect.WithProtoJSON()}, "gRPC-Web": {connect.WithGRPCWeb()},
		"gRPC-Web with JSON": {connect.WithGRPCWeb(), connect.WithProtoJSON()}, "compressed": {connect.WithSendGzip()},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](http.DefaultClient, w.url+"/echo.Echo/Say", options...)
			answer, err := client.CallUnary(within(t), connect.NewRequest(wrapperspb.String("hello")))
			require.NoError(t, err)
			require.Equal(t, "hello", answer.Msg.GetValue())
			require.True(t, wire.ValidRequestID(answer.Header().Get("X-Request-Id")))

			answer, err = client.CallUnary(within(t), connect.NewRequest(wrapperspb.String("")))
			require.NoError(t, err, "a message of no bytes")
			require.Empty(t, answer.Msg.GetValue())
		})
	}
}

func TestConnectClientsSeeErrorsInEveryProtocol(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		e.reply(wire.Error, "model", failureBody("model", "out of stones", 3, e.RequestID))
		e.ack()
	})
	for name, options := range map[string][]connect.ClientOption{"Connect": nil, "gRPC-Web": {connect.WithGRPCWeb()}} {
		t.Run(name, func(t *testing.T) {
			call := func(path string) *connect.Error {
				client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](http.DefaultClient, w.url+path, options...)
				_, err := client.CallUnary(within(t), connect.NewRequest(wrapperspb.String("hello")))
				var failed *connect.Error
				require.ErrorAs(t, err, &failed)
				return failed
			}
			failed := call("/echo.Echo/Say")
			require.Equal(t, connect.CodeInternal, failed.Code())
			require.Equal(t, "model: out of stones", failed.Message())
			require.Len(t, failed.Details(), 1)
			failed = call("/echo.Echo/Shout")
			require.Equal(t, connect.CodeUnimplemented, failed.Code())
			require.Contains(t, failed.Message(), "answers no rpc /echo.Echo/Shout")
		})
	}
}

func TestGRPCIsAnsweredOnTheHTTPPortToo(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", echo)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](
		&http.Client{Transport: transport}, w.url+"/echo.Echo/Say", connect.WithGRPC())
	answer, err := client.CallUnary(within(t), connect.NewRequest(wrapperspb.String("hello")))
	require.NoError(t, err)
	require.Equal(t, "hello", answer.Msg.GetValue())
}

func TestTheFramesOfGRPCWebAreAMessageAndItsTrailers(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", echo)
	payload, err := proto.Marshal(wrapperspb.String("hello"))
	require.NoError(t, err)
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(payload)))
	got := w.send("POST", "/echo.Echo/Say", string(append(frame, payload...)), "Content-Type: application/grpc-web+proto")
	require.Equal(t, http.StatusOK, got.code)

	flags, message, rest := cutFrame(t, []byte(got.body))
	require.Equal(t, byte(0), flags)
	require.Equal(t, payload, message)
	flags, trailers, rest := cutFrame(t, rest)
	require.Equal(t, byte(0x80), flags)
	require.Contains(t, strings.ToLower(string(trailers)), "grpc-status: 0")
	require.Empty(t, rest)
}

func cutFrame(t *testing.T, b []byte) (flags byte, content, rest []byte) {
	require.GreaterOrEqual(t, len(b), 5)
	size := int(binary.BigEndian.Uint32(b[1:5]))
	require.GreaterOrEqual(t, len(b), 5+size)
	return b[0], b[5 : 5+size], b[5+size:]
}

func TestProtobufThatIsNotTheInputIsRefusedOverHTTP(t *testing.T) {
	w := newWorld(t)
	got := w.send("POST", "/echo.Echo/Weigh", "\x0a\xff", asProto)
	require.Equal(t, http.StatusBadRequest, got.code)
	require.Contains(t, got.problem(t).Message, "the bytes are not a types.Stone")
}

func TestACallersDeadlineIsHonouredOverHTTP(t *testing.T) {
	w := newWorld(t)
	got := w.send("POST", "/echo.Echo/Say", `"hello"`, asJSON, "Connect-Timeout-Ms: 300")
	require.Equal(t, http.StatusGatewayTimeout, got.code)
	require.Equal(t, "deadline_exceeded", got.problem(t).Code)
	require.Contains(t, got.problem(t).Message, "no answer within")
}

func TestACallerOverHTTPWhoGoesAwayEndsTheWaitOnly(t *testing.T) {
	w := newWorld(t)
	arrived, gone := make(chan struct{}), make(chan struct{})
	n := w.newNode("say", func(e entry) { close(arrived); <-gone; echo(e) })
	ctx, cancel := context.WithCancel(within(t))
	go func() { <-arrived; cancel() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/echo.Echo/Say", strings.NewReader(`"hello"`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		require.NoError(t, answer.Body.Close())
	}
	require.ErrorIs(t, err, context.Canceled)
	eventually(t, "the call is over", func() bool { return len(w.calls("Canceled")) == 1 })
	close(gone)
	eventually(t, "the late reply is confirmed", func() bool { return n.confirmations() == 1 })
}

func TestTheTimingIsToldOverHTTPWhenAsked(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", echo)
	got := w.send("POST", "/echo.Echo/Say", `"hello"`, asJSON, "X-Kre-Timing: 1")
	require.Regexp(t, `^total=\d+;queue=\d+;exit=7;reply=\d+$`, got.header.Get("X-Kre-Timing"))
}

func TestTheListOfRPCsIsForPeopleAndForPrograms(t *testing.T) {
	w := newWorld(t)
	got := w.send("GET", "/", "")
	require.Equal(t, http.StatusOK, got.code)
	require.Contains(t, got.body, "rpc Weigh(types.Stone) returns (types.Weight)   workflow weigh")
	require.Contains(t, got.body, "curl --json '{}' "+w.url+"/echo.Echo/Weigh")

	got = w.send("GET", "/", "", "Accept: application/json")
	require.JSONEq(t, `{"version": "echo-v1", "rpcs": [
		{"name": "Say", "path": "/echo.Echo/Say", "workflow": "say", "input": "google.protobuf.StringValue", "output": "google.protobuf.StringValue", "timeoutMs": 20000},
		{"name": "Weigh", "path": "/echo.Echo/Weigh", "workflow": "weigh", "input": "types.Stone", "output": "types.Weight", "timeoutMs": 20000}
	], "protos": ["/protos/public.proto", "/protos/types/stone.proto"]}`, got.body)
}

func TestTheProtosOfThePackageCanBeDownloadedAndNothingElse(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, echoProto, w.send("GET", "/protos/public.proto", "").body)
	require.Equal(t, stoneProto, w.send("GET", "/protos/types/stone.proto", "").body)
	for _, path := range []string{"/protos/../krt.yml", "/protos/google/protobuf/wrappers.proto", "/protos/"} {
		got := w.send("GET", path, "")
		require.Equal(t, http.StatusNotFound, got.code, path)
	}
	require.Contains(t, w.send("GET", "/protos/other.proto", "").body, "there are /protos/public.proto, /protos/types/stone.proto")
}

func TestHealthIsToldOverHTTP(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, response{code: 200, body: "ok\n"}, withoutHeader(w.send("GET", "/healthz", "")))
	require.Equal(t, response{code: 200, body: "ok\n"}, withoutHeader(w.send("GET", "/readyz", "")))
	w.restart(func() {
		eventually(t, "it notices", func() bool { return !w.instance.BrokerConnected() })
		got := w.send("GET", "/readyz", "")
		require.Equal(t, http.StatusOK, got.code, "taking all instances away would help nobody")
		require.Contains(t, got.body, "the broker is away")
	})
	second := &world{t: t, nats: w.nats, options: w.options}
	second.start()
	require.Equal(t, http.StatusServiceUnavailable, second.send("GET", "/readyz", "").code)
	require.Equal(t, http.StatusOK, second.send("GET", "/healthz", "").code)
}

func withoutHeader(r response) response {
	r.header = nil
	return r
}

func TestALargeAnswerIsCompressedForWhoTakesThat(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", echo)
	body := `"` + strings.Repeat("hello ", 1000) + `"`
	got := w.send("POST", "/echo.Echo/Say", body, asJSON, "Accept-Encoding: gzip")
	require.Equal(t, "gzip", got.header.Get("Content-Encoding"))
	require.True(t, bytes.HasPrefix([]byte(got.body), []byte{0x1f, 0x8b}))
}

package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/admin-api/internal/httpapi"
	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

type uploadStream = grpc.ClientStreamingServer[adminv1.UploadVersionRequest, adminv1.Version]

// received is what an upload consisted of.
type received struct {
	parent, comment string
	size            int
	sum             [32]byte
	largest         int
	err             error // other than the end
}

func receive(stream uploadStream) received {
	var got received
	hash := sha256.New()
	for {
		message, err := stream.Recv()
		if err != nil {
			got.sum = [32]byte(hash.Sum(nil))
			if !errors.Is(err, io.EOF) {
				got.err = err
			}
			return got
		}
		if message.GetParent() != "" {
			got.parent, got.comment = message.GetParent(), message.GetComment()
		}
		got.size += len(message.GetChunk())
		got.largest = max(got.largest, len(message.GetChunk()))
		hash.Write(message.GetChunk())
	}
}

// accepting takes every upload.
func accepting(into *received) *services {
	return &services{upload: func(stream uploadStream) error {
		*into = receive(stream)
		if into.err != nil {
			return into.err
		}
		return stream.SendAndClose(&adminv1.Version{Name: into.parent + "/versions/v1"})
	}}
}

func form(t *testing.T, write func(*multipart.Writer)) (io.Reader, http.Header) {
	t.Helper()
	var body bytes.Buffer
	writer := multipart.NewWriter(&body)
	write(writer)
	require.NoError(t, writer.Close())
	return &body, http.Header{"Content-Type": {writer.FormDataContentType()}}
}

func attach(t *testing.T, writer *multipart.Writer, content []byte) {
	t.Helper()
	part, err := writer.CreateFormFile("package", "x.krt")
	require.NoError(t, err)
	_, err = part.Write(content)
	require.NoError(t, err)
}

func TestABodyIsUploadedInChunksWhateverItsType(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, kind := range []string{"", "application/octet-stream", "application/gzip", "application/x-www-form-urlencoded"} {
		var got received
		base := serve(t, accepting(&got), httpapi.Options{})
		header := http.Header{}
		if kind != "" {
			header.Set("Content-Type", kind)
		}
		response := send(t, "POST", base+"/v1/runtimes/prod/versions?comment="+url.QueryEscape("a first try"), bytes.NewReader(content), header)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, 200, response.StatusCode, string(text))
		require.Contains(t, string(text), "runtimes/prod/versions/v1")
		require.Equal(t, received{
			parent: "runtimes/prod", comment: "a first try", size: len(content), sum: sha256.Sum256(content), largest: 256 << 10,
		}, got, kind)
	}
}

func TestAnEmptyBodyIsAnUploadOfNothing(t *testing.T) {
	var got received
	code, _ := do(t, "POST", serve(t, accepting(&got), httpapi.Options{})+"/v1/runtimes/prod/versions", "")
	require.Equal(t, 200, code)
	require.Equal(t, "runtimes/prod", got.parent)
	require.Zero(t, got.size)
}

func TestAFormIsUploaded(t *testing.T) {
	content := bytes.Repeat([]byte("abc"), 300_000)
	var got received
	base := serve(t, accepting(&got), httpapi.Options{})
	body, header := form(t, func(w *multipart.Writer) {
		require.NoError(t, w.WriteField("comment", "by a browser"))
		attach(t, w, content)
	})
	response := send(t, "POST", base+"/v1/runtimes/prod/versions", body, header)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 200, response.StatusCode)
	require.Equal(t, "by a browser", got.comment)
	require.Equal(t, sha256.Sum256(content), got.sum)
}

func TestAFormThatIsNotOneFileIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		write func(*testing.T, *multipart.Writer)
		says  string
	}{
		"no file":     {func(t *testing.T, w *multipart.Writer) { require.NoError(t, w.WriteField("comment", "x")) }, "no file"},
		"other field": {func(t *testing.T, w *multipart.Writer) { require.NoError(t, w.WriteField("colour", "x")) }, "colour"},
		"two files": {func(t *testing.T, w *multipart.Writer) {
			attach(t, w, []byte("one"))
			attach(t, w, []byte("two"))
		}, "second file"},
		"a comment that comes too late": {func(t *testing.T, w *multipart.Writer) {
			attach(t, w, []byte("one"))
			require.NoError(t, w.WriteField("comment", "x"))
		}, "put it before"},
	} {
		t.Run(name, func(t *testing.T) {
			cut := make(chan error, 1)
			s := &services{upload: func(stream uploadStream) error {
				got := receive(stream)
				cut <- got.err
				return got.err
			}}
			base := serve(t, s, httpapi.Options{})
			body, header := form(t, func(w *multipart.Writer) { c.write(t, w) })
			response := send(t, "POST", base+"/v1/runtimes/prod/versions", body, header)
			text, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, 400, response.StatusCode)
			require.Contains(t, string(text), c.says)
			require.Contains(t, string(text), "ERROR_REASON_INVALID_REQUEST")
			select {
			case err := <-cut: // where the upload had begun
				require.Error(t, err)
			default:
			}
		})
	}
}

// refusing answers after the first message, as a package with a wrong manifest is answered.
func refusing() *services {
	return &services{upload: func(stream uploadStream) error {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		return fault.New(fault.AlreadyExists, "v1 is in use").For("ERROR_REASON_VERSION_EXISTS", "state", "STARTED")
	}}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(into []byte) (int, error) {
	e.read += len(into)
	return len(into), nil
}

func TestAnUploadIsRefusedBeforeItHasArrived(t *testing.T) {
	base := serve(t, refusing(), httpapi.Options{})
	body := new(endless)
	response := send(t, "POST", base+"/v1/runtimes/prod/versions", body, nil)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 409, response.StatusCode)
	require.Contains(t, string(text), "ERROR_REASON_VERSION_EXISTS")
}

func TestAClientThatSendsAllBeforeItReadsComesToReadTheRefusal(t *testing.T) {
	base := serve(t, refusing(), httpapi.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	const size = 32 << 20
	_, err = fmt.Fprintf(conn, "POST /v1/runtimes/prod/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", token, size)
	require.NoError(t, err)
	_, err = io.CopyN(conn, new(endless), size)
	require.NoError(t, err, "the connection was cut while the client sent")
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "409 Conflict")
	require.Contains(t, string(answer), "ERROR_REASON_VERSION_EXISTS")
}

func TestWhoAsksBeforeSendingIsAnsweredBeforeSending(t *testing.T) {
	base := serve(t, &services{}, httpapi.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprint(conn, "POST /v1/runtimes/prod/versions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 401"), string(answer))
}

func TestCurlShowsTheRefusalOfAnUpload(t *testing.T) {
	curl, err := exec.LookPath("curl")
	require.NoError(t, err, "curl is what people try first")
	base := serve(t, refusing(), httpapi.Options{})
	for _, expect := range []string{"Expect:", "Expect: 100-continue"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		command := exec.CommandContext(ctx, curl, "-sS", "-X", "POST", "-H", "Authorization: Bearer "+token, "-H", expect,
			"-T", "-", "-w", "%{http_code}", base+"/v1/runtimes/prod/versions")
		command.Stdin = io.LimitReader(new(endless), 64<<20)
		output, err := command.CombinedOutput()
		cancel()
		require.NoError(t, err, string(output))
		require.Contains(t, string(output), "ERROR_REASON_VERSION_EXISTS")
		require.True(t, strings.HasSuffix(string(output), "409"), string(output))
	}
}

func TestAnUploadThatIsCutIsNotEndedButBrokenOff(t *testing.T) {
	for name, header := range map[string]string{
		"announced": "Content-Length: 1000000\r\n\r\n",
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n400\r\n",
		"form":      "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			cut := make(chan error, 1)
			s := &services{upload: func(stream uploadStream) error {
				got := receive(stream)
				cut <- got.err
				return got.err
			}}
			base := serve(t, s, httpapi.Options{})
			conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			require.NoError(t, err)
			_, err = fmt.Fprintf(conn, "POST /v1/runtimes/prod/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s%s", token, header,
				strings.Repeat("x", 300))
			require.NoError(t, err)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			require.Contains(t, string(answer), "did not arrive whole")
			select {
			case err := <-cut: // where the call had begun
				require.Error(t, err)
			default:
			}
		})
	}
}

func TestAnUploadThatStandsStillIsBrokenOff(t *testing.T) {
	var got received
	base := serve(t, accepting(&got), httpapi.Options{UploadPatience: 50 * time.Millisecond})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprintf(conn, "POST /v1/runtimes/prod/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\nhello", token)
	require.NoError(t, err)
	line, err := textproto.NewReader(bufio.NewReader(conn)).ReadLine()
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 400 Bad Request", line)
}

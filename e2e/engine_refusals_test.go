package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// tarball is a gzip-compressed tar of these files, in this order: name, content, name, content, …
func tarball(t *testing.T, files ...string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	w := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}))
		_, err := io.WriteString(w, files[i+1])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, zipped.Close())
	return packed.Bytes()
}

// bomb unpacks to more than any package may hold: gigabytes of zeros in some megabytes.
func bomb(t *testing.T) io.Reader {
	t.Helper()
	const size = 65 << 30 // above the default limit of 64 GiB; refused by its header
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	w := tar.NewWriter(zipped)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "krt.yml", Mode: 0o644, Size: 1}))
	_, err := w.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: size}))
	_, err = w.Write(make([]byte, 16<<20))
	require.NoError(t, err)
	require.NoError(t, zipped.Close())
	return &packed
}

func reason(t *testing.T, err error) string {
	t.Helper()
	return strings.TrimPrefix(harness.Detail[*errdetails.ErrorInfo](err).GetReason(), "ERROR_REASON_")
}

const fiveMistakes = `krtVersion: v2
version: Greeting
workflows:
  - name: greet
    entrypoint: Greet
    exitpoint: nobody
    nodes:
      - {name: greet, image: none, src: bin/greet, replicas: 0, subscriptions: [entrypoint]}
      - {name: other, image: none, src: bin/other, colour: red, subscriptions: [gret]}
`

func TestBadInputIsRefusedInBothAPIsAndCostsNothing(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	engine.Runtime(t, "bad")
	good := harness.Greeting(t, "greeting-v1")
	whole, err := os.ReadFile(good)
	require.NoError(t, err)

	t.Run("packages", func(t *testing.T) {
		for name, test := range map[string]struct {
			content io.Reader
			reason  string
			says    string
		}{
			"not a package":             {strings.NewReader("this is not a package"), "INVALID_PACKAGE", "gzip"},
			"a bomb":                    {bomb(t), "INVALID_PACKAGE", "zeros"},
			"a path that leaves":        {bytes.NewReader(tarball(t, "krt.yml", "version: x", "../x", "x")), "INVALID_PACKAGE", "../x"},
			"no manifest":               {bytes.NewReader(tarball(t, "main.py", "x")), "INVALID_PACKAGE", "manifest"},
			"a manifest with mistakes":  {bytes.NewReader(tarball(t, "krt.yml", fiveMistakes)), "INVALID_MANIFEST", ""},
			"an archive cut in the end": {bytes.NewReader(whole[:len(whole)/2]), "INVALID_PACKAGE", ""},
		} {
			t.Run(name, func(t *testing.T) {
				content, err := io.ReadAll(test.content)
				require.NoError(t, err)
				_, err = engine.UploadFrom(t.Context(), "bad", bytes.NewReader(content))
				require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
				require.Equal(t, test.reason, reason(t, err), "%v", err)
				require.Contains(t, status.Convert(err).Message()+status.Convert(err).String(), test.says)

				rest := engine.REST(t, http.MethodPost, "/v1/runtimes/bad/versions", content)
				require.Equal(t, http.StatusBadRequest, rest.Code, rest.Body)
				require.Equal(t, test.reason, rest.Refusal(t).Reason(), rest.Body)
			})
		}
	})
	t.Run("every mistake of a manifest is listed, with its line", func(t *testing.T) {
		_, err := engine.UploadFrom(t.Context(), "bad", bytes.NewReader(tarball(t, "krt.yml", fiveMistakes)))
		var violations []string
		for _, detail := range status.Convert(err).Details() {
			if bad, ok := detail.(*errdetails.BadRequest); ok {
				for _, violation := range bad.GetFieldViolations() {
					violations = append(violations, violation.GetField()+" "+violation.GetDescription())
				}
			}
		}
		said := strings.Join(violations, "\n")
		require.Len(t, violations, 7, said) // five of the manifest, and the two programs that are not in the package
		require.Contains(t, said, "did you mean \"greet\"?")
		require.Contains(t, said, "line 8")
	})
	t.Run("an upload whose sender goes leaves nothing", func(t *testing.T) {
		_, err := engine.UploadFrom(t.Context(), "bad", io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), broken{}))
		require.ErrorIs(t, err, errGone)
		harness.Eventually(t, "nothing is left", func() (bool, string) {
			list, err := engine.Versions.ListVersions(t.Context(), &adminv1.ListVersionsRequest{Parent: "runtimes/bad"})
			require.NoError(t, err)
			return len(list.GetVersions()) == 0, list.String()
		})
	})

	var version *adminv1.Version
	harness.Eventually(t, "the name of the upload that was cut is free", func() (bool, string) {
		taken, err := engine.Upload(t.Context(), "bad", good)
		if status.Code(err) == codes.AlreadyExists {
			return false, err.Error()
		}
		require.NoError(t, err)
		version = taken
		return true, ""
	})
	require.Equal(t, adminv1.Version_STOPPED, version.GetState())
	name := harness.Name("bad", "greeting-v1")
	page, err := engine.Runtimes.ListActivities(t.Context(), &adminv1.ListActivitiesRequest{Parent: "runtimes/bad", PageSize: 1})
	require.NoError(t, err)
	require.NotEmpty(t, page.GetNextPageToken())

	for name, test := range map[string]struct {
		call   func() error
		method string
		path   string
		body   string
		code   codes.Code
		http   int
		reason string
		says   string
	}{
		"a name in use": {
			func() error { _, err := engine.Upload(t.Context(), "bad", good); return err },
			http.MethodPost, "/v1/runtimes/bad/versions", string(whole), codes.AlreadyExists, http.StatusConflict, "VERSION_EXISTS", "greeting-v1",
		},
		"a start without configuration": {
			func() error {
				_, err := engine.Versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: name})
				return err
			},
			http.MethodPost, "/v1/" + name + ":start", "{}", codes.FailedPrecondition, http.StatusBadRequest, "CONFIG_MISSING", "GREETING",
		},
		"a publish of a stopped version": {
			func() error {
				_, err := engine.Versions.PublishVersion(t.Context(), &adminv1.PublishVersionRequest{Name: name})
				return err
			},
			http.MethodPost, "/v1/" + name + ":publish", "{}", codes.FailedPrecondition, http.StatusBadRequest, "WRONG_STATE", "STOPPED",
		},
		"an unknown key": {
			func() error {
				_, err := engine.Versions.UpdateConfig(t.Context(), &adminv1.UpdateConfigRequest{Name: name + "/config", Variables: map[string]string{"GREETNG": "x"}})
				return err
			},
			http.MethodPatch, "/v1/" + name + "/config", `{"variables":{"GREETNG":"x"}}`, codes.InvalidArgument, http.StatusBadRequest, "INVALID_REQUEST", "GREETNG",
		},
		"a value that is too large": {
			func() error {
				_, err := engine.Versions.UpdateConfig(t.Context(), &adminv1.UpdateConfigRequest{Name: name + "/config", Variables: map[string]string{"GREETING": strings.Repeat("x", 64<<10+1)}})
				return err
			},
			http.MethodPatch, "/v1/" + name + "/config", `{"variables":{"GREETING":"` + strings.Repeat("x", 64<<10+1) + `"}}`,
			codes.ResourceExhausted, http.StatusRequestEntityTooLarge, "TOO_LARGE", "65536",
		},
		"a page token of another list": {
			func() error {
				_, err := engine.Versions.ListVersions(t.Context(), &adminv1.ListVersionsRequest{Parent: "runtimes/bad", PageToken: page.GetNextPageToken()})
				return err
			},
			http.MethodGet, "/v1/runtimes/bad/versions?pageToken=" + page.GetNextPageToken(), "", codes.InvalidArgument, http.StatusBadRequest, "INVALID_PAGE_TOKEN", "",
		},
		"an unknown filter field": {
			func() error {
				_, err := engine.Versions.ListVersions(t.Context(), &adminv1.ListVersionsRequest{Parent: "runtimes/bad", Filter: `colour = "red"`})
				return err
			},
			http.MethodGet, "/v1/runtimes/bad/versions?filter=colour%20%3D%20%22red%22", "", codes.InvalidArgument, http.StatusBadRequest, "INVALID_FILTER", "colour",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.call()
			require.Equal(t, test.code, status.Code(err), "%v", err)
			require.Equal(t, test.reason, reason(t, err), "%v", err)
			require.Contains(t, status.Convert(err).String(), test.says)
			rest := engine.REST(t, test.method, test.path, []byte(test.body))
			require.Equal(t, test.http, rest.Code, rest.Body)
			refusal := rest.Refusal(t)
			require.Equal(t, int(test.code), refusal.Code)
			require.Equal(t, test.reason, refusal.Reason(), rest.Body)
		})
	}
	t.Run("a body of the wrong type", func(t *testing.T) {
		rest := engine.REST(t, http.MethodPost, "/v1/"+name+":start", []byte(`{"revision": "many"}`))
		require.Equal(t, http.StatusBadRequest, rest.Code, rest.Body)
		require.Contains(t, rest.Refusal(t).Message, "revision")
		rest = engine.REST(t, http.MethodPost, "/v1/"+name+":start", []byte(`not JSON`))
		require.Equal(t, http.StatusBadRequest, rest.Code, rest.Body)
	})
	t.Run("a stop of a published version", func(t *testing.T) {
		engine.Set(t, "bad", "greeting-v1", map[string]string{"GREETING": "Hello"})
		engine.MustStart(t, "bad", "greeting-v1")
		engine.MustPublish(t, "bad", "greeting-v1")
		_, err := engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: name})
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		require.Equal(t, "WRONG_STATE", reason(t, err))
		require.Contains(t, status.Convert(err).Message(), "unpublish")
		rest := engine.REST(t, http.MethodPost, "/v1/"+name+":stop", []byte(`{}`))
		require.Equal(t, http.StatusBadRequest, rest.Code)
	})
	t.Run("without a token nothing but health answers", func(t *testing.T) {
		response, err := http.Get(engine.Up.HTTP + "/v1/runtimes")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
		response, err = http.Get(engine.Up.HTTP + "/healthz")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
	})
}

var errGone = errors.New("the sender has gone")

// broken is a reader that fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errGone }

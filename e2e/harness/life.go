package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Greeting packs a version of the greeting that is called name, with these replacements (before, after, before, …) in its
// manifest, and returns the package's path.
func Greeting(t testing.TB, name string, replacements ...string) string {
	t.Helper()
	p := Testdata(t, "greeting", Go)
	p.Replace(t, "krt.yml", "version: greeting-v1", "version: "+name)
	for i := 0; i+1 < len(replacements); i += 2 {
		p.Replace(t, "krt.yml", replacements[i], replacements[i+1])
	}
	file := filepath.Join(filepath.Dir(p.Dir), name+".krt")
	MustKre(t, p.Dir, "pack", ".", "-o", file)
	return file
}

// Name is the resource name of a version.
func Name(runtime, version string) string { return "runtimes/" + runtime + "/versions/" + version }

// Runtime makes a runtime and waits until it is ready.
func (e *Engine) Runtime(t testing.TB, name string) *adminv1.Runtime {
	t.Helper()
	_, err := e.Runtimes.CreateRuntime(t.Context(), &adminv1.CreateRuntimeRequest{RuntimeId: name, Runtime: &adminv1.Runtime{}})
	require.NoError(t, err)
	var made *adminv1.Runtime
	Eventually(t, "runtime "+name+" is ready", func() (bool, string) {
		made, err = e.Runtimes.GetRuntime(t.Context(), &adminv1.GetRuntimeRequest{Name: "runtimes/" + name})
		if err != nil {
			return false, err.Error()
		}
		return made.GetState() == adminv1.Runtime_READY, made.String()
	})
	return made
}

// Upload stores a package as a version of a runtime.
func (e *Engine) Upload(ctx context.Context, runtime, file string) (*adminv1.Version, error) {
	content, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer content.Close() //nolint:errcheck // only read
	return e.UploadFrom(ctx, runtime, content)
}

// UploadFrom stores the package that is read as a version of a runtime.
func (e *Engine) UploadFrom(ctx context.Context, runtime string, content io.Reader) (*adminv1.Version, error) {
	ctx, cancel := context.WithCancel(ctx) // a reader that fails cuts the upload
	defer cancel()
	stream, err := e.Versions.UploadVersion(ctx)
	if err != nil {
		return nil, err
	}
	request := &adminv1.UploadVersionRequest{Parent: "runtimes/" + runtime}
	chunk := make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(content, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("read the package: %w", err)
		}
		request.Chunk = chunk[:n]
		if sent := stream.Send(request); sent != nil {
			break // the answer tells why
		}
		if err != nil {
			break
		}
		request = &adminv1.UploadVersionRequest{}
	}
	return stream.CloseAndRecv()
}

// MustUpload is [Engine.Upload] for packages that have to be taken.
func (e *Engine) MustUpload(t testing.TB, runtime, file string) *adminv1.Version {
	t.Helper()
	version, err := e.Upload(t.Context(), runtime, file)
	require.NoError(t, err)
	return version
}

// Set sets configuration variables.
func (e *Engine) Set(t testing.TB, runtime, version string, variables map[string]string) {
	t.Helper()
	_, err := e.Versions.UpdateConfig(t.Context(), &adminv1.UpdateConfigRequest{Name: Name(runtime, version) + "/config", Variables: variables})
	require.NoError(t, err)
}

// Get answers with a version as it is.
func (e *Engine) Get(ctx context.Context, runtime, version string) (*adminv1.Version, error) {
	return e.Versions.GetVersion(ctx, &adminv1.GetVersionRequest{Name: Name(runtime, version)})
}

// WaitState waits until a version is in a state.
func (e *Engine) WaitState(t testing.TB, runtime, version string, state adminv1.Version_State) *adminv1.Version {
	t.Helper()
	var found *adminv1.Version
	Eventually(t, fmt.Sprintf("%s is %s", version, state), func() (bool, string) {
		var err error
		found, err = e.Get(t.Context(), runtime, version)
		if err != nil {
			return false, err.Error()
		}
		return found.GetState() == state, fmt.Sprintf("%s: %s", found.GetState(), found.GetStateReason())
	})
	return found
}

// MustStart starts a version and waits until it runs.
func (e *Engine) MustStart(t testing.TB, runtime, version string) *adminv1.Version {
	t.Helper()
	_, err := e.Versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: Name(runtime, version)})
	require.NoError(t, err)
	return e.WaitState(t, runtime, version, adminv1.Version_STARTED)
}

// MustPublish publishes a version and waits until it is the published one and well.
func (e *Engine) MustPublish(t testing.TB, runtime, version string) *adminv1.Version {
	t.Helper()
	_, err := e.Versions.PublishVersion(t.Context(), &adminv1.PublishVersionRequest{Name: Name(runtime, version)})
	require.NoError(t, err)
	return e.WaitState(t, runtime, version, adminv1.Version_PUBLISHED)
}

// Published makes a runtime and a published version of the greeting in it.
func (e *Engine) Published(t testing.TB, runtime, file, version string) *adminv1.Runtime {
	t.Helper()
	made := e.Runtime(t, runtime)
	e.MustUpload(t, runtime, file)
	e.Set(t, runtime, version, map[string]string{"GREETING": "Hello"})
	e.MustStart(t, runtime, version)
	e.MustPublish(t, runtime, version)
	return made
}

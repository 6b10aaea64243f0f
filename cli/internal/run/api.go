package run

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/socket"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// api is the runtime-api of this run: its process, and how it is called.
type api struct {
	process *proc.Process
	conn    *grpc.ClientConn
	client  runtimev1.VersionServiceClient
}

const (
	apiStartTimeout = 30 * time.Second
	apiCallTimeout  = 30 * time.Second
)

// startAPI starts runtime-api and returns when it can be called. What it returns is to be stopped also after an error.
func (s *session) startAPI(ctx context.Context) (*api, error) {
	address, err := socket.Address(filepath.Join(s.dir, "run", "runtime-api.sock"))
	if err != nil {
		return nil, err
	}
	a, token := &api{}, rand.Text()
	env := launch.Inherited(os.Environ())
	env["KRE_NATS_URL"] = s.broker.URL()
	env["KRE_LOG_FORMAT"] = "json"
	env["KRE_LOG_LEVEL"] = s.logLevel()
	env["KRE_GRPC_ADDR"] = address
	env["KRE_SERVICE_TOKEN"] = token
	spec := proc.Spec{
		Name: "runtime-api", Path: filepath.Join(s.libexec, "runtime-api"), Dir: s.dir,
		ReadyFile: filepath.Join(s.dir, "runtime-api.ready"), StartTimeout: apiStartTimeout, Restart: true,
	}
	env["KRE_READY_FILE"] = spec.ReadyFile
	for key, value := range env {
		spec.Env = append(spec.Env, key+"="+value)
	}
	a.process = s.super.Start(spec)
	if err := a.process.WaitReady(ctx); err != nil {
		return a, err
	}
	if a.conn, err = rpc.Dial(address, rpc.ClientOptions{Token: token}); err != nil {
		return a, err
	}
	a.client = runtimev1.NewVersionServiceClient(a.conn)
	return a, nil
}

// logLevel is that of kre's own programs.
func (s *session) logLevel() string {
	if s.verbose {
		return "info"
	}
	return "warn"
}

// prepare has the broker's side of the plan made, and completes the plan with the answer.
func (a *api) prepare(ctx context.Context, p *plan, attempts int) error {
	ctx, cancel := context.WithTimeout(ctx, apiCallTimeout)
	defer cancel()
	answer, err := a.client.PrepareVersion(ctx, &runtimev1.PrepareVersionRequest{
		Manifest:     &runtimev1.Manifest{FileName: p.file, Content: p.content},
		Overrides:    &runtimev1.Overrides{DefaultMaxAttempts: defaultAttempts, MaxAttempts: int32(attempts)}, //nolint:gosec // bounded by the flag
		PackageFiles: p.packageFiles(),
	}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("cannot prepare the version: %s", status.Convert(err).Message())
	}
	p.prepared = answer
	return nil
}

// remove removes what prepare made for a version.
func (a *api) remove(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, apiCallTimeout)
	defer cancel()
	_, err := a.client.RemoveVersion(ctx, &runtimev1.RemoveVersionRequest{Version: version}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("cannot remove version %s: %s", version, status.Convert(err).Message())
	}
	return nil
}

func (a *api) stop(grace time.Duration) {
	if a.conn != nil {
		_ = a.conn.Close() // it only fails when it is closed already
	}
	a.process.Stop(grace)
	<-a.process.Done()
}

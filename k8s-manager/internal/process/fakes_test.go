package process_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// fakeAccounts stands in for the broker's accounts.
type fakeAccounts struct {
	mu      sync.Mutex
	away    error
	made    map[string]bool
	users   int
	revoked []string // account and user
}

func newFakeAccounts() *fakeAccounts { return &fakeAccounts{made: make(map[string]bool)} }

// forget is a broker on a new disk.
func (a *fakeAccounts) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.made)
}

// out are the users who are let in no more, each with the account.
func (a *fakeAccounts) out() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.revoked)
}

func (a *fakeAccounts) User(file string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	content, err := os.ReadFile(file)
	if err == nil {
		return string(content), nil
	}
	a.users++
	seed := "user-" + strconv.Itoa(a.users)
	return seed, os.WriteFile(file, []byte(seed), 0o600)
}

func (a *fakeAccounts) Revoke(_ context.Context, name, _, file string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	content, err := os.ReadFile(file)
	if err != nil {
		return nil //nolint:nilerr // it is not there
	}
	if a.away != nil {
		return a.away
	}
	a.revoked = append(a.revoked, name+" "+string(content))
	return os.Remove(file)
}

func (a *fakeAccounts) set(away error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

func (a *fakeAccounts) has(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.made[name]
}

func (a *fakeAccounts) Ensure(_ context.Context, name, dir string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.WriteFile(filepath.Join(dir, "account.seed"), []byte("seed of "+name), 0o600); err != nil {
		return err
	}
	if a.away == nil {
		a.made[name] = true
	}
	return a.away
}

func (a *fakeAccounts) Remove(_ context.Context, name, dir string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away != nil {
		return a.away
	}
	delete(a.made, name)
	return os.RemoveAll(filepath.Join(dir, "account.seed"))
}

// pack is a package: the content of its files by path; those in bin are executable.
type pack map[string]string

func (p pack) files() []archive.File {
	var files []archive.File
	for path, content := range p {
		sum := sha256.Sum256([]byte(content))
		files = append(files, archive.File{
			Path: path, Executable: strings.HasPrefix(path, "bin/"), Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
		})
	}
	return files
}

func (p pack) digest() string { return archive.Digest(p.files()) }

// fakeAPI stands in for what runtime-api answers, for every runtime.
type fakeAPI struct {
	mu       sync.Mutex
	away     error
	packages map[string]pack
	waiting  int   // callers, at each entrypoint
	stored   int64 // messages, of each version
	done     []string
	keys     []*runtimev1.BrokerKeys // of each call of prepare
}

func newFakeAPI() *fakeAPI { return &fakeAPI{packages: make(map[string]pack)} }

func (a *fakeAPI) set(change func(a *fakeAPI)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// calls are those that were made, whose names begin like one of the prefixes.
func (a *fakeAPI) calls(prefixes ...string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var some []string
	for _, call := range a.done {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(call, prefix) }) {
			some = append(some, call)
		}
	}
	return some
}

// called is what every call begins with; the caller unlocks.
func (a *fakeAPI) called(call string) error {
	a.mu.Lock()
	if a.away == nil {
		a.done = append(a.done, call)
	}
	return a.away
}

func (a *fakeAPI) Close() error { return nil }

func (a *fakeAPI) Prepare(_ context.Context, request *runtimev1.PrepareVersionRequest) (*runtimev1.PrepareVersionResponse, error) {
	err := a.called("prepare")
	defer a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	a.keys = append(a.keys, request.GetBrokerKeys())
	m, problems := manifest.Parse(request.GetManifest().GetFileName(), request.GetManifest().GetContent())
	if err := problems.Err(); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the manifest is wrong")
	}
	out := &runtimev1.PrepareVersionResponse{
		Version: m.ID, DisplayName: m.Version, NatsCredentials: request.GetBrokerKeys().GetUserSeed(), Entrypoint: &runtimev1.Entrypoint{Config: "{}"},
	}
	for _, w := range m.Workflows {
		for _, n := range w.Nodes {
			if !slices.Contains(request.GetPackageFiles(), n.Src) {
				return nil, fault.New(fault.Invalid, "%s is not in the package", n.Src)
			}
			config := m.ConfigOf(n)
			node := &runtimev1.Node{
				Workflow: w.Name, Name: n.Name, WorkflowId: w.ID, Id: n.ID, Config: "{}", Src: n.Src, Replicas: int32(n.Replicas), //nolint:gosec // small
				Runner: runtimev1.Runner_RUNNER_EXECUTABLE, ConfigVariables: config.Variables, ConfigFiles: config.Files,
			}
			if n.Worker() {
				node.Runner = runtimev1.Runner_RUNNER_WORKER
			}
			if n.StartTimeout > 0 {
				node.StartTimeout = durationpb.New(n.StartTimeout)
			}
			out.Nodes = append(out.Nodes, node)
		}
	}
	return out, nil
}

func (a *fakeAPI) Release(_ context.Context, version string) error {
	defer a.mu.Unlock()
	return a.called("release " + version)
}

func (a *fakeAPI) Remove(_ context.Context, version string) error {
	defer a.mu.Unlock()
	return a.called("remove " + version)
}

func (a *fakeAPI) Command(_ context.Context, version string, command runtimev1.EntrypointCommand) (instances, waiting int, err error) {
	err = a.called(strings.ToLower(strings.TrimPrefix(command.String(), "ENTRYPOINT_COMMAND_")) + " " + version)
	defer a.mu.Unlock()
	return 1, a.waiting, err
}

func (a *fakeAPI) Count(_ context.Context, version string) (int64, error) {
	err := a.called("count " + version)
	defer a.mu.Unlock()
	return a.stored, err
}

func (a *fakeAPI) Discard(_ context.Context, version string) error {
	err := a.called("discard " + version)
	defer a.mu.Unlock()
	if err == nil {
		a.stored = 0
	}
	return err
}

func (a *fakeAPI) Fetch(_ context.Context, version, digest string, next func(archive.File, io.Reader) error) error {
	err := a.called("fetch " + version)
	p, there := a.packages[version]
	a.mu.Unlock()
	switch {
	case err != nil:
		return err
	case !there:
		return fault.New(fault.NotFound, "version %s has no package", version)
	}
	for _, file := range p.files() {
		if err := next(file, strings.NewReader(p[file.Path])); err != nil {
			return err
		}
	}
	return nil
}

func (a *fakeAPI) RemovePackages(context.Context) error {
	err := a.called("remove packages")
	defer a.mu.Unlock()
	if err == nil {
		clear(a.packages)
	}
	return err
}

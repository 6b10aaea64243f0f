package up

import (
	"cmp"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/konstellation-io/kre/cli/internal/ports"
	"github.com/konstellation-io/kre/cli/internal/secrets"
	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/proc"
)

func loopback(port int) string { return ports.Address(port) }

const (
	serviceStartTimeout = 30 * time.Second
	// portTries is how often a service is given another port when somebody takes it between our look and its start.
	portTries = 3
	// How long each may take to end: k8s-manager ends everything that runs.
	adminGrace   = 10 * time.Second
	managerGrace = 60 * time.Second
)

// service is a program of the engine that this one supervises.
type service struct {
	name    string
	env     map[string]string
	process *proc.Process
}

// services are the environment that admin-api and k8s-manager are started with, and what of it changes from try to try.
type services struct {
	settings settings
	super    *proc.Supervisor
	dir      string // for ready files
	shared   map[string]string
}

func newServices(s settings, super *proc.Supervisor, d *data, secret *secrets.Secrets) *services {
	shared := launch.Inherited(os.Environ())
	// What a person may have set for every program of the engine.
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "OTEL_") {
			shared[name] = value
		}
	}
	shared["KRE_SERVICE_TOKEN"] = secret.ServiceToken
	shared["KRE_LOG_FORMAT"] = "json"
	shared["KRE_LOG_LEVEL"] = cmp.Or(os.Getenv("KRE_LOG_LEVEL"), "info")
	return &services{settings: s, super: super, dir: d.dir, shared: shared}
}

// manager is k8s-manager.
func (s *services) manager(d *data, kept *kept, o *stores) *service {
	env := map[string]string{
		"KRE_CLUSTER": "process", "KRE_GRPC_ADDR": loopback(kept.Manager), "KRE_DATA_DIR": d.path("manager"), "KRE_LIBEXEC": s.settings.libexec,
		"KRE_NATS_URL": o.nats, "KRE_NATS_OPERATOR_SEED_FILE": o.operator.SeedFile(), "KRE_NATS_SYSTEM_CREDS": o.operator.SystemCreds(),
		"KRE_S3_ENDPOINT": o.s3.endpoint, "KRE_S3_ACCESS_KEY": o.s3.access, "KRE_S3_SECRET_KEY": o.s3.secret,
		"KRE_FIRST_GRPC_PORT": strconv.Itoa(kept.FirstGRPC), "KRE_FIRST_HTTP_PORT": strconv.Itoa(kept.FirstHTTP),
		"KRE_STOP_PROCESSES": "true",
	}
	for _, name := range []string{"KRE_PYTHON", "KRE_CACHE"} {
		if value := os.Getenv(name); value != "" {
			env[name] = value
		}
	}
	return &service{name: "k8s-manager", env: env}
}

// admin is admin-api.
func (s *services) admin(kept *kept, o *stores, secret *secrets.Secrets) *service {
	return &service{name: "admin-api", env: map[string]string{
		"KRE_GRPC_ADDR": loopback(kept.GRPC), "KRE_HTTP_ADDR": loopback(kept.HTTP), "KRE_MANAGER_ADDR": loopback(kept.Manager),
		"KRE_MONGO_URI": o.mongo, "KRE_ADMIN_TOKEN": secret.AdminToken, "KRE_KEYSET_FILE": secret.Keyset(),
	}}
}

// start starts a service and returns when it is ready. Where it is not because somebody else has taken one of its ports,
// other ones are tried: each of them is changed in its environment.
func (s *services) start(ctx context.Context, one *service, ports_ ...port) error {
	for try := 1; ; try++ {
		for _, p := range ports_ {
			one.env[p.variable] = loopback(*p.number)
		}
		one.process = s.super.Start(s.spec(one))
		err := one.process.WaitReady(ctx)
		if err == nil || ctx.Err() != nil || try == portTries {
			return err
		}
		taken := slices.ContainsFunc(ports_, func(p port) bool { return !ports.Free(*p.number) })
		<-one.process.Done()
		if !taken {
			return err
		}
		for _, p := range ports_ {
			if *p.number, err = ports.Pick(*p.number); err != nil {
				return err
			}
		}
	}
}

// port is one that a service listens on.
type port struct {
	variable string
	number   *int
}

func (s *services) spec(one *service) proc.Spec {
	env := maps.Clone(s.shared)
	maps.Copy(env, one.env)
	spec := proc.Spec{
		Name: one.name, Path: filepath.Join(s.settings.libexec, one.name), Dir: s.dir,
		ReadyFile: filepath.Join(s.dir, one.name+".ready"), StartTimeout: serviceStartTimeout, Restart: true,
	}
	env["KRE_READY_FILE"] = spec.ReadyFile
	for _, name := range slices.Sorted(maps.Keys(env)) {
		spec.Env = append(spec.Env, name+"="+env[name])
	}
	return spec
}

// stop ends a service and waits for it; nil has ended.
func (one *service) stop(grace time.Duration) {
	if one == nil || one.process == nil {
		return
	}
	one.process.Stop(grace)
	<-one.process.Done()
}

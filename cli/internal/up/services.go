package up

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/kit/socket"
)

// The services that are supervised, by the names of their programs.
const (
	adminAPI   = "admin-api"
	k8sManager = "k8s-manager"
)

const serviceStartTimeout = 30 * time.Second

// How long each may take to end. k8s-manager ends the processes of all runtimes first, and lets calls have their answers.
const (
	managerGrace = 60 * time.Second
	adminGrace   = 10 * time.Second
)

// service is how a service is started, with its environment beside what any program inherits.
func (e *engine) service(name string, own map[string]string) proc.Spec {
	env := launch.Inherited(os.Environ())
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		if key == "KRE_PYTHON" || key == "KRE_CACHE" || key == "KRE_LOG_LEVEL" || strings.HasPrefix(key, "OTEL_") {
			env[key] = value
		}
	}
	spec := proc.Spec{
		Name: name, Path: filepath.Join(e.libexec, name), Dir: e.data,
		ReadyFile: filepath.Join(e.data, name+".ready"), StartTimeout: serviceStartTimeout, Restart: true,
	}
	env["KRE_READY_FILE"] = spec.ReadyFile
	env["KRE_LOG_FORMAT"] = "json"
	env["KRE_SERVICE_TOKEN"] = e.secrets.ServiceToken
	for key, value := range own {
		env[key] = value
	}
	for key, value := range env {
		spec.Env = append(spec.Env, key+"="+value)
	}
	return spec
}

// socket is the address at which a service listens for those who see the data folder, and where nobody else can.
func (e *engine) socket(service string) string {
	return socket.At(filepath.Join(e.data, "run", service+".sock"))
}

func (e *engine) managerSpec() proc.Spec {
	own := launch.Inherited(os.Environ(), e.passEnv...) // what nodes get, k8s-manager has to have
	maps.Copy(own, map[string]string{
		"KRE_CLUSTER":                 "process",
		"KRE_GRPC_ADDR":               e.socket(k8sManager),
		"KRE_DATA_DIR":                e.data,
		"KRE_LIBEXEC":                 e.libexec,
		"KRE_NATS_URL":                e.stores.nats,
		"KRE_NATS_OPERATOR_SEED_FILE": filepath.Join(e.stores.operator, operatorSeed),
		"KRE_NATS_SYSTEM_CREDS":       filepath.Join(e.stores.operator, systemCreds),
		"KRE_S3_ENDPOINT":             e.stores.s3.endpoint,
		"KRE_S3_ACCESS_KEY":           e.stores.s3.access,
		"KRE_S3_SECRET_KEY":           e.stores.s3.secret,
		"KRE_PUBLIC_HOST":             ports.Loopback,
		"KRE_FIRST_GRPC_PORT":         strconv.Itoa(e.ports.FirstGRPC),
		"KRE_FIRST_HTTP_PORT":         strconv.Itoa(e.ports.FirstHTTP),
		"KRE_STOP_PROCESSES":          "true",
		"KRE_PASS_ENV":                strings.Join(e.passEnv, ","),
		"KRE_ALLOWED_HOSTS":           strings.Join(e.allowedHosts, ","),
	})
	return e.service(k8sManager, own)
}

func (e *engine) adminSpec() proc.Spec {
	return e.service(adminAPI, map[string]string{
		"KRE_GRPC_ADDR":      ports.Address(ports.Loopback, e.ports.GRPC) + "," + e.socket(adminAPI),
		"KRE_HTTP_ADDR":      ports.Address(ports.Loopback, e.ports.HTTP),
		"KRE_MONGO_URI":      e.stores.mongo,
		"KRE_MONGO_DATABASE": "kre",
		"KRE_MANAGER_ADDR":   e.socket(k8sManager),
		"KRE_ADMIN_TOKEN":    e.secrets.AdminToken,
		"KRE_KEYSET_FILE":    e.secrets.Keyset(),
	})
}

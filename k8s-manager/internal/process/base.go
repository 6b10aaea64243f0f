package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/kit/rpc"
)

// bucketPrefix comes before a runtime's name in the name of the bucket of its packages.
const bucketPrefix = "kre-"

// keepBase makes the base components be there: the account, runtime-api and, unless the runtime is being deleted, the
// process of the stable address. That the broker is away keeps nothing from running that ran before.
func (rt *runtime) keepBase(ctx context.Context) error {
	record := rt.now()
	var accountErr error
	if !record.HasAccount {
		accountErr = rt.keepAccount(ctx)
		if _, err := os.Stat(rt.path(accountSeedFile)); errors.Is(err, fs.ErrNotExist) {
			return accountErr
		}
	}
	err := rt.keepAPI(ctx)
	if err == nil && !record.Deleting {
		err = rt.keepAddress(ctx)
	}
	rt.lookOnce.Do(func() { close(rt.looked) })
	if record.HasAccount {
		accountErr = rt.keepAccount(ctx)
	}
	return errors.Join(accountErr, err)
}

// keepAccount makes the broker know the runtime's account.
func (rt *runtime) keepAccount(ctx context.Context) error {
	rt.mu.Lock()
	assured, known := rt.assured, rt.record.HasAccount
	rt.assured = true // if the broker comes back meanwhile, it is unset again
	rt.mu.Unlock()
	if assured {
		return nil
	}
	err := rt.c.o.Accounts.Ensure(ctx, rt.name, rt.dir)
	if err == nil && !known {
		err = rt.update(func(r *runtimeRecord) error { r.HasAccount = true; return nil })
	}
	if err == nil {
		return nil
	}
	rt.mu.Lock()
	rt.assured = false
	rt.mu.Unlock()
	if known && ctx.Err() == nil {
		rt.log.Info("the broker has not been told again of the runtime's account; it is when it is back", log.Error(err))
		return nil
	}
	return fmt.Errorf("make the runtime's NATS account: %w", err)
}

func (rt *runtime) keepAPI(ctx context.Context) error {
	address, err := rt.apiAddress(ctx)
	if err != nil {
		return err
	}
	program, err := rt.c.apiProgram()
	if err != nil {
		return err
	}
	command := launch.Command{Path: program.Path, Env: map[string]string{
		"KRE_NATS_URL": rt.c.o.NATSURL, "KRE_GRPC_ADDR": address, "KRE_SERVICE_TOKEN": rpc.TokenAt(rt.c.o.ServiceToken, address),
		"KRE_RUNTIME": rt.name, "KRE_NATS_ACCOUNT_SEED_FILE": rt.path(accountSeedFile),
		"KRE_S3_ENDPOINT": rt.c.o.S3.Endpoint, "KRE_S3_ACCESS_KEY": rt.c.o.S3.AccessKey,
		"KRE_S3_SECRET_KEY": rt.c.o.S3.SecretKey, "KRE_S3_BUCKET": bucketPrefix + rt.name,
		"KRE_PROCESS_DIR": rt.dir, "KRE_LOG_FORMAT": "json", "KRE_LOG_LEVEL": rt.c.o.LogLevel,
	}}
	// It is ready when its broker is there, however long that takes.
	return rt.keep(ctx, &rt.api, "runtime-api", command, apiGrace, program.Stamp)
}

// apiAddress is where runtime-api listens, or should: at a socket in its folder, or at a port that nobody else has taken.
func (rt *runtime) apiAddress(ctx context.Context) (string, error) {
	rt.mu.Lock()
	current := rt.api
	port := rt.record.APIPort
	rt.mu.Unlock()
	if !rt.c.o.Ports {
		if port != 0 { // of a program of before
			if err := rt.update(func(r *runtimeRecord) error { r.APIPort = 0; return nil }); err != nil {
				return "", err
			}
			rt.c.ports.giveBack(port)
		}
		return rt.now().apiAddress(rt.dir), nil
	}
	if rt.inTheWay(current, rt.path("runtime-api"), ports.Loopback, port) || port == 0 {
		if err := rt.endBase(ctx, &rt.api, "runtime-api", 0); err != nil {
			return "", err
		}
		fresh, err := rt.c.ports.pick()
		if err != nil {
			return "", err
		}
		if err := rt.update(func(r *runtimeRecord) error { r.APIPort = fresh; return nil }); err != nil {
			return "", err
		}
		rt.c.ports.giveBack(port)
	}
	return rt.now().apiAddress(rt.dir), nil
}

func (rt *runtime) keepAddress(ctx context.Context) error {
	rt.mu.Lock()
	current := rt.address
	record := rt.record
	rt.mu.Unlock()
	host := rt.c.o.PublicHost
	dir := rt.path("address")
	taken := rt.inTheWay(current, dir, host, record.GRPCPort) || rt.inTheWay(current, dir, host, record.HTTPPort)
	if taken || record.GRPCPort == 0 {
		if err := rt.endBase(ctx, &rt.address, "address", 0); err != nil {
			return err
		}
		grpc, http, err := rt.c.ports.pickPair(host, rt.c.o.FirstGRPCPort, rt.c.o.FirstHTTPPort)
		if err != nil {
			return err
		}
		if taken {
			rt.log.Warn("somebody else has taken a port of the runtime's stable address: it is another pair from now on",
				zap.Int("grpc_port_before", record.GRPCPort), zap.Int("http_port_before", record.HTTPPort),
				zap.Int("grpc_port", grpc), zap.Int("http_port", http))
		}
		if err := rt.update(func(r *runtimeRecord) error { r.GRPCPort, r.HTTPPort = grpc, http; return nil }); err != nil {
			return err
		}
		rt.c.ports.giveBack(record.GRPCPort, record.HTTPPort)
		record.GRPCPort, record.HTTPPort = grpc, http
	}
	command := launch.Command{Path: rt.c.o.Address[0], Args: rt.c.o.Address[1:], StartTimeout: launch.DefaultStartTimeout, Env: map[string]string{
		"KRE_GRPC_ADDR": ports.Address(host, record.GRPCPort), "KRE_HTTP_ADDR": ports.Address(host, record.HTTPPort),
		"KRE_ADDRESS_FILE": rt.path(addressFile), "KRE_ADDRESS_ACK_FILE": rt.path(addressAckFile),
		"KRE_LOG_FORMAT": "json", "KRE_LOG_LEVEL": rt.c.o.LogLevel,
	}}
	return rt.keep(ctx, &rt.address, "address", command, addressGrace)
}

// inTheWay tells whether somebody else listens where a process that does not run should.
func (rt *runtime) inTheWay(p *part, dir, host string, port int) bool {
	if port == 0 {
		return false
	}
	rt.mu.Lock()
	runs := p.mayRun(filepath.Join(dir, "state.json"))
	rt.mu.Unlock()
	return !runs && !ports.Free(host, port)
}

// keep makes one of the runtime's own processes run as the command says, whose environment is without what is inherited.
func (rt *runtime) keep(ctx context.Context, p **part, name string, command launch.Command, grace time.Duration, stamps ...string) error {
	dir := rt.path(name)
	stamp := command.Print(stamps...)
	rt.mu.Lock()
	current := *p
	rt.mu.Unlock()
	state := filepath.Join(dir, "state.json")
	stale := false
	if current != nil {
		stale = current.stamp != stamp || current.ended()
	} else {
		r := lastRecord(state)
		stale = r.PID != 0 && r.Stamp != stamp
	}
	if current != nil && !stale {
		return nil
	}
	if stale {
		if err := rt.endBase(ctx, p, name, grace); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	spec := proc.Spec{
		Name: rt.name + "/" + name, Path: command.Path, Args: command.Args, Dir: dir, StartTimeout: command.StartTimeout,
		ReadyFile: filepath.Join(dir, "ready"),
		Detached:  &proc.Detached{StateFile: state, LogFile: filepath.Join(dir, "log"), Stamp: stamp},
	}
	env := maps.Clone(rt.c.inherited)
	maps.Copy(env, rt.c.telemetry)
	maps.Copy(env, command.Env)
	for key, value := range env {
		spec.Env = append(spec.Env, key+"="+value)
	}
	spec.Env = append(spec.Env, "KRE_READY_FILE="+spec.ReadyFile)
	slices.Sort(spec.Env)
	started := rt.c.startPart(spec, rt.changed)
	rt.mu.Lock()
	defer rt.mu.Unlock()
	*p = started
	return nil
}

package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
)

// part is a node or the entrypoint as it runs, with all its replicas.
type part struct {
	key       string
	print     string // what it runs with; another one has to replace a part that differs
	base      string // the same, whatever was saved: who shares it needs no more than another worker
	worker    bool   // a runner can replace what is the author's in it
	specs     []proc.Spec
	processes []*proc.Process
}

func (p *part) start(super *proc.Supervisor) {
	for _, spec := range p.specs {
		p.processes = append(p.processes, super.Start(spec))
	}
}

// waitReady waits until all its processes are ready; the error is that of the first that is not.
func (p *part) waitReady(ctx context.Context) error {
	for _, process := range p.processes {
		if err := process.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop asks it to end; a nil part has ended.
func (p *part) stop(grace time.Duration) {
	if p == nil {
		return
	}
	for _, process := range p.processes {
		process.Stop(grace)
	}
}

func (p *part) wait() {
	if p == nil {
		return
	}
	for _, process := range p.processes {
		<-process.Done()
	}
}

// ended tells whether all its processes have.
func (p *part) ended() bool {
	for _, process := range p.processes {
		select {
		case <-process.Done():
		default:
			return false
		}
	}
	return true
}

// settle is how long a replaced part may take to take no more messages before its successor is called ready anyway.
const settle = 2 * time.Second

// waitIdle waits until it takes no more messages: it has ended, or has removed its ready files.
func (p *part) waitIdle() {
	patience := time.After(settle)
	for i, process := range p.processes {
		look := time.NewTicker(5 * time.Millisecond)
		for taking := true; taking; {
			select {
			case <-process.Done():
				taking = false
			case <-look.C:
				_, err := os.Stat(p.specs[i].ReadyFile)
				taking = err == nil
			case <-patience:
				look.Stop()
				return
			}
		}
		look.Stop()
	}
}

// newNode makes the part of a node, not started yet.
func (s *session) newNode(n node) (*part, error) {
	program, ok := s.programs.of(n)
	prepared := s.current.preparedNode(n)
	if !ok || prepared == nil {
		return nil, fmt.Errorf("%s is not prepared", n.key)
	}
	command, err := s.launching().Node(prepared, program)
	if err != nil {
		return nil, err
	}
	p, err := s.newPart(n.key, command, n.processes(s.replicas), program.Stamp)
	if err == nil {
		p.worker = program.Worker
	}
	return p, err
}

// newEntrypoint makes the part of the entrypoint.
func (s *session) newEntrypoint() (*part, error) {
	command := s.launching().Entrypoint(s.current.prepared.GetEntrypoint(), filepath.Join(s.libexec, "entrypoint"),
		ports.Address(ports.Loopback, s.grpc), ports.Address(ports.Loopback, s.http))
	return s.newPart(entrypointKey, command, []string{entrypointKey}, "")
}

const entrypointKey = "entrypoint"

// launching is what the processes of the version share.
func (s *session) launching() launch.Settings {
	return launch.Settings{
		Package: s.source.root, NATSURL: s.broker.URL(), LogLevel: s.logLevel(), NodeLogLevel: s.nodeLogLevel,
		Platform: launch.Inherited(os.Environ(), s.passEnv...), AllowedHosts: s.allowedHosts,
		Variables: s.current.values.variables, Files: s.current.values.files,
	}
}

// newPart gives each process of a part a folder of its own: a replaced one may still run beside it.
func (s *session) newPart(key string, command launch.Command, names []string, stamp string) (*part, error) {
	p := &part{
		key: key, base: command.Print(strings.Join(names, " "), stamp),
		print: command.Print(strings.Join(names, " "), stamp, strconv.Itoa(s.restarts[key])),
	}
	for _, name := range names {
		s.folders++
		spec, err := command.Place(name, filepath.Join(s.dir, "processes", strconv.Itoa(s.folders)))
		if err != nil {
			return nil, err
		}
		spec.Restart = true
		p.specs = append(p.specs, spec)
	}
	return p, nil
}

// startNode starts a node for the first time.
func (s *session) startNode(ctx context.Context, n node) error {
	s.mu.Lock()
	p, err := s.newNode(n)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.nodes[n.key] = p
	p.start(s.super)
	s.mu.Unlock()
	return p.waitReady(ctx)
}

// portTries is how often a program is given other ports when somebody takes them between our look and its start.
const portTries = 3

// onOtherPorts tells whether a program that did not start is to be tried on other ports: somebody has taken one of its own.
func onOtherPorts(ctx context.Context, try int, err error, its ...int) bool {
	return err != nil && ctx.Err() == nil && try < portTries &&
		slices.ContainsFunc(its, func(port int) bool { return !ports.Free(ports.Loopback, port) })
}

// startEntrypoint starts the entrypoint for the first time.
func (s *session) startEntrypoint(ctx context.Context) error {
	for try := 1; ; try++ {
		p, err := func() (*part, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.newEntrypoint()
		}()
		if err != nil {
			return err
		}
		s.entrypoint = p
		p.start(s.super)
		err = p.waitReady(ctx)
		if !onOtherPorts(ctx, try, err, s.grpc, s.http) {
			return err
		}
		p.wait()
		if err := s.choosePorts(); err != nil {
			return err
		}
	}
}

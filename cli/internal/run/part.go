package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/konstellation-io/kre/kit/proc"
)

// part is a node or the entrypoint as it runs, with all its replicas.
type part struct {
	key       string
	print     string // what it runs with; another one has to replace a part that differs
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
	env := s.nodeEnv(n, program)
	p := &part{key: n.key}
	base := proc.Spec{
		Path: program.path, Args: program.args, Dir: s.source.root,
		StartTimeout: n.startTimeout(), Restart: true,
	}
	return p, s.fill(p, base, prepared.GetConfig(), env, n.processes(s.replicas), program.stamp, strconv.Itoa(s.restarts[n.key]))
}

// newEntrypoint makes the part of the entrypoint.
func (s *session) newEntrypoint() (*part, error) {
	env := s.platformEnv()
	env["KRE_PACKAGE"] = s.source.root
	env["KRE_GRPC_ADDR"] = address(s.grpc)
	env["KRE_HTTP_ADDR"] = address(s.http)
	p := &part{key: entrypointKey}
	base := proc.Spec{
		Path: filepath.Join(s.libexec, "entrypoint"), Dir: s.source.root,
		StartTimeout: defaultStartTimeout, Restart: true,
	}
	return p, s.fill(p, base, s.current.prepared.GetEntrypoint().GetConfig(), env, []string{entrypointKey}, strconv.Itoa(s.restarts[entrypointKey]))
}

const entrypointKey = "entrypoint"

// fill gives each process of a part a folder with its configuration, and the part its print.
func (s *session) fill(p *part, base proc.Spec, config string, env map[string]string, names []string, stamps ...string) error {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode([]any{base.Path, base.Args, env, config, names, stamps}); err != nil {
		return err
	}
	p.print = hex.EncodeToString(sum.Sum(nil))
	for _, name := range names {
		s.folders++
		dir := filepath.Join(s.dir, "processes", strconv.Itoa(s.folders))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		spec := base
		spec.Name, spec.ReadyFile = name, filepath.Join(dir, "ready")
		file := filepath.Join(dir, "config.json")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return err
		}
		for key, value := range env {
			spec.Env = append(spec.Env, key+"="+value)
		}
		spec.Env = append(spec.Env, "KRE_CONFIG="+file, "KRE_READY_FILE="+spec.ReadyFile)
		slices.Sort(spec.Env)
		p.specs = append(p.specs, spec)
	}
	return nil
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

// portTries is how often the entrypoint is given other ports when somebody takes them between our look and its start.
const portTries = 3

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
		if err == nil || ctx.Err() != nil || try == portTries || free(s.grpc) && free(s.http) {
			return err
		}
		p.wait()
		if err := s.choosePorts(); err != nil {
			return err
		}
	}
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"

	"github.com/konstellation-io/kre/krt/manifest"
)

// What is called, and with what.
const (
	rpc     = "price.Price/Estimate"
	request = `{"carat":1}`
)

// demo is one `make run`. Paths count from the root of the repository, in which it is started.
type demo struct {
	out     io.Writer
	bin     string // folder of the programs
	example string // the project
	work    string // folder for what is made
}

func newDemo() demo {
	return demo{out: os.Stdout, bin: programs(), example: "examples/price-estimator", work: "build/price-estimator"}
}

// programs is the folder of the programs, as one would type it here.
func programs() string {
	bin := cmp.Or(os.Getenv("KRE_BIN"), "bin")
	here, err := os.Getwd()
	if err != nil {
		return bin
	}
	if below, err := filepath.Rel(here, bin); err == nil && filepath.IsLocal(below) {
		return below
	}
	return bin
}

// run does everything in order, and stops what it started.
func (d demo) run(ctx context.Context, once bool) (err error) {
	if err := os.MkdirAll(d.work, 0o755); err != nil {
		return err
	}
	name, err := d.version()
	if err != nil {
		return err
	}
	if err := d.train(ctx); err != nil {
		return err
	}
	if err := d.pack(ctx); err != nil {
		return err
	}
	engine, err := d.up(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.stop()) }()
	if err := d.live(ctx, engine, name); err != nil {
		return fmt.Errorf("%w\nwhat the engine printed is in %s; its last lines:\n%s", err, engine.log, lastLines(engine.log))
	}
	if once {
		return nil
	}
	fmt.Fprintln(d.out, "Ctrl-C stops everything") //nolint:errcheck // nothing can be done about it
	select {
	case <-ctx.Done():
		return nil
	case <-engine.ended:
		return fmt.Errorf("the engine has ended; what it printed is in %s; its last lines:\n%s", engine.log, lastLines(engine.log))
	}
}

// live takes the package through its life up to an answer.
func (d demo) live(ctx context.Context, engine *engine, name string) error {
	started := time.Now()
	l := life{engine: engine}
	if _, err := l.runtime(ctx); err != nil {
		return err
	}
	if err := l.upload(ctx, d.krt(), name); err != nil {
		return err
	}
	if err := l.configure(ctx, filepath.Join(d.example, ".env")); err != nil {
		return err
	}
	d.say("upload", runtimeID+"/"+name, time.Since(started))
	started = time.Now()
	nodes, err := l.publish(ctx)
	if err != nil {
		return err
	}
	d.say("start", strings.Join(nodes, " ✓ ")+" ✓", time.Since(started))
	runtime, err := l.runtime(ctx)
	if err != nil {
		return err
	}
	return d.call(ctx, engine, runtime)
}

// say prints one step: what was done, what came of it, and how long it took.
func (d demo) say(step, result string, took time.Duration) {
	fmt.Fprintf(d.out, "%-6s %-40s %6s\n", step, result, short(took)) //nolint:errcheck // nothing can be done about it
}

func short(took time.Duration) string {
	switch {
	case took < time.Second:
		return fmt.Sprintf("%d ms", took.Milliseconds())
	case took < 10*time.Second:
		return fmt.Sprintf("%.1f s", took.Seconds())
	default:
		return fmt.Sprintf("%.0f s", took.Seconds())
	}
}

// version returns the name of the version that the example is.
func (d demo) version() (string, error) {
	files := manifest.Project(os.DirFS(d.example))
	name, err := manifest.Find(files)
	if err != nil {
		return "", err
	}
	m, problems, err := manifest.Load(files, name)
	if err := errors.Join(err, problems.Err()); err != nil {
		return "", err
	}
	return manifest.ID(m.Version), nil
}

// train makes the model, unless it is there and as new as its code.
func (d demo) train(ctx context.Context) error {
	started := time.Now()
	printed, err := d.command(ctx, "make", "--no-print-directory", "-s", "-C", d.example, "train")
	if err != nil {
		return fmt.Errorf("cannot train the model: %w", err)
	}
	d.say("train", cmp.Or(strings.TrimSpace(printed), "nothing has changed"), time.Since(started))
	return nil
}

func (d demo) krt() string { return filepath.Join(d.work, "price-estimator.krt") }

func (d demo) pack(ctx context.Context) error {
	started := time.Now()
	if _, err := d.command(ctx, filepath.Join(d.bin, "kre"), "pack", d.example, "-o", d.krt()); err != nil {
		return fmt.Errorf("cannot pack the price estimator: %w", err)
	}
	packed, err := os.Stat(d.krt())
	if err != nil {
		return err
	}
	d.say("pack", fmt.Sprintf("%s %d MiB", filepath.Base(d.krt()), packed.Size()>>20), time.Since(started))
	return nil
}

// up starts the engine on a data directory that stays.
func (d demo) up(ctx context.Context) (*engine, error) {
	started := time.Now()
	e, err := startEngine(filepath.Join(d.bin, "kre"), filepath.Join(d.work, "data"))
	if err != nil {
		return nil, err
	}
	if err := e.waitReady(ctx); err != nil {
		err = fmt.Errorf("the engine does not start: %w\nwhat it printed is in %s; its last lines:\n%s", err, e.log, lastLines(e.log))
		return nil, errors.Join(err, e.stop())
	}
	d.say("up", e.up.HTTP+"  gRPC "+e.up.GRPC, time.Since(started))
	return e, nil
}

// call calls the published version in both ways, which have to give the same answer.
func (d demo) call(ctx context.Context, e *engine, runtime *adminv1.Runtime) error {
	overGRPC, err := d.callGRPC(ctx, runtime.GetGrpcAddress())
	if err != nil {
		return err
	}
	started := time.Now()
	overHTTP, err := callHTTP(ctx, runtime.GetHttpAddress())
	took := time.Since(started)
	if err != nil {
		return err
	}
	if overGRPC != overHTTP {
		return fmt.Errorf("gRPC answers %s and HTTP %s", overGRPC, overHTTP)
	}
	d.say("call", request+" → "+overHTTP, took)

	_, grpcPort, err := net.SplitHostPort(runtime.GetGrpcAddress())
	if err != nil {
		return err
	}
	_, httpPort, err := net.SplitHostPort(strings.TrimPrefix(runtime.GetHttpAddress(), "http://"))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(d.out, "Again: curl --json '%s' localhost:%s/%s\n       %s call Estimate '%s' --addr localhost:%s\nLook:  %s status   or %s in a browser, token in %s\n",
		request, httpPort, rpc, filepath.Join(d.bin, "kre"), request, grpcPort, filepath.Join(d.bin, "kre"), e.up.HTTP,
		filepath.Join(d.work, "data", "secrets", "admin.token"))
	return err
}

func (d demo) callGRPC(ctx context.Context, address string) (string, error) {
	printed, err := d.command(ctx, filepath.Join(d.bin, "kre"), "call", "Estimate", request, "--addr", address)
	if err != nil {
		return "", fmt.Errorf("the call over gRPC failed: %w", err)
	}
	answer, _, _ := strings.Cut(printed, "\n") // then where the time went
	return compact(answer)
}

func callHTTP(ctx context.Context, address string) (string, error) {
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/"+rpc, strings.NewReader(request))
	if err != nil {
		return "", err
	}
	call.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(call)
	if err != nil {
		return "", fmt.Errorf("the call over HTTP failed: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("the call over HTTP failed: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the call over HTTP failed: %s: %s", response.Status, answer)
	}
	return compact(string(answer))
}

// compact is JSON without blanks: how many there are differs between builds.
func compact(text string) (string, error) {
	var answer struct {
		Price    float64 `json:"price"`
		Currency string  `json:"currency"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return "", fmt.Errorf("the answer %q is not what it should be: %w", text, err)
	}
	if answer.Price <= 0 || answer.Currency == "" {
		return "", fmt.Errorf("the answer %q holds no price", text)
	}
	again, err := json.Marshal(answer)
	return string(again), err
}

// command runs a command to its end and returns what it printed; the error of one that failed holds it.
func (d demo) command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var problems strings.Builder
	cmd.Stderr = &problems
	printed, err := cmd.Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, printed, problems.String())
	}
	return string(printed), nil
}

// Package call is `kre call`: an rpc of a running version, by name and with JSON, and where the time of its answer went.
// What the version serves it learns by reflection.
package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/konstellation-io/kre/cli/internal/terminal"
)

const (
	defaultAddr = "localhost:9000"
	// dialTimeout bounds the search for something that listens.
	dialTimeout = 3 * time.Second
	// lookupTimeout bounds the questions about what is served.
	lookupTimeout = 10 * time.Second
	// maxAnswerBytes is more than any broker lets through.
	maxAnswerBytes = 256 << 20
)

// Names of metadata, as runner-sdk/entrypoint gives and takes them.
const (
	requestIDKey = "x-request-id"
	timingKey    = "x-kre-timing"
)

// Command is `kre call`.
type Command struct {
	RPC     string        `arg:"" optional:"" name:"rpc" help:"Rpc to call: Greet, Greeter/Greet or demo.Greeter/Greet. Without it, all are listed."`
	Request string        `arg:"" optional:"" help:"Request as JSON, @FILE, or - for standard input. Default: {}."`
	Addr    string        `short:"a" placeholder:"HOST:PORT" help:"Where the version serves gRPC. Default: where kre run in this folder does, else localhost:9000."`
	Header  []string      `short:"H" sep:"none" placeholder:"KEY=VALUE" help:"Metadata to send."`
	Timeout time.Duration `placeholder:"DURATION" help:"How long to wait, e.g. 5s. Default: as long as the workflow allows."`
	Output  string        `short:"o" default:"text" enum:"text,json" help:"text: the answer, and beside it where the time went; json: one object with answer, request id and times."`
}

// Help is shown below the flags.
func (c *Command) Help() string {
	return `Examples:
  kre call                               what can be called, with a request for each
  kre call Greet '{"name":"Ada"}'
  kre call Greet @request.json -H x-request-id=order-17
  kre call Greet '{"name":"Ada"}' -o json | jq .timing

The answer goes to standard output, where the time went to standard error: queue is the wait before and between the
nodes, reply the way back.`
}

// Run makes the call. Its error tells code, message and details of a failed one.
func (c *Command) Run(ctx context.Context) error {
	return c.run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: isTerminal(os.Stdout) && isTerminal(os.Stderr)})
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // out and err are the same terminal
}

func (c *Command) run(ctx context.Context, s streams) error {
	headers, err := c.headers()
	if err != nil {
		return err
	}
	request, err := Request(c.Request, s.in)
	if err != nil {
		return err
	}
	addr, err := c.address()
	if err != nil {
		return err
	}
	if err := reachable(ctx, addr); err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes), grpc.MaxCallSendMsgSize(maxAnswerBytes)))
	if err != nil {
		return fmt.Errorf("call %s: %w", addr, err)
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	lookup, cancel := context.WithTimeout(ctx, lookupTimeout)
	served, err := discover(lookup, conn)
	cancel()
	if err != nil {
		return fmt.Errorf("ask %s what it serves: %w", addr, err)
	}
	if c.RPC == "" {
		return served.list(s.out, addr)
	}
	method, err := served.find(c.RPC)
	if err != nil {
		return err
	}
	if c.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	ctx = metadata.NewOutgoingContext(ctx, headers)
	answered, err := served.call(ctx, conn, method, request)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return answered.writeJSON(s.out)
	}
	return answered.write(s)
}

// headers returns the metadata to send.
func (c *Command) headers() (metadata.MD, error) {
	headers := metadata.Pairs(timingKey, "1")
	for _, header := range c.Header {
		key, value, found := strings.Cut(header, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("-H %q: want KEY=VALUE", header)
		}
		headers.Append(key, value)
	}
	return headers, nil
}

// Request returns the JSON to send of what a person typed: the JSON itself, - for standard input, @FILE for a file, or nothing
// for an empty message.
func Request(typed string, stdin io.Reader) ([]byte, error) {
	file, isFile := strings.CutPrefix(typed, "@")
	switch {
	case typed == "":
		return []byte("{}"), nil
	case typed == "-":
		content, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read the request from standard input: %w", err)
		}
		return content, nil
	case isFile:
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
		return content, nil
	}
	return []byte(typed), nil
}

// reachable says what to do where nothing listens.
func reachable(ctx context.Context, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("--addr %q: want HOST:PORT", addr)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err == nil {
		return conn.Close()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("nothing answers at %s: start a version with `kre run` in another terminal, or say with --addr where one runs (%w)",
		addr, shortCause(err))
}

// shortCause leaves out what the sentence around it says already.
func shortCause(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	var syscallErr *os.SyscallError
	if errors.As(op.Err, &syscallErr) {
		return syscallErr.Err
	}
	return op.Err
}

// writeJSON writes everything as one object.
func (a *answer) writeJSON(w io.Writer) error {
	object := struct {
		Answer    json.RawMessage `json:"answer"`
		RequestID string          `json:"request_id"`
		Timing    timing          `json:"timing"`
	}{a.json, a.requestID, a.timing}
	content, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", terminal.JSON(content))
	return err
}

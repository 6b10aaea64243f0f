// Package contexts is `kre login` and `kre context`: the engines a person knows, under names of their own.
package contexts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// defaultPort is where an engine answers gRPC unless it was told otherwise.
const defaultPort = 7081

// Login is `kre login`.
type Login struct {
	output.Format
	Address string `arg:"" placeholder:"HOST[:PORT]" help:"Where the engine answers gRPC. Default port: 7081."`
	Name    string `aliases:"context" placeholder:"NAME" predictor:"context" help:"Name to remember it by. Default: the host. --context is the same."`
	HTTP    string `name:"http" placeholder:"URL" help:"Where its HTTP API is, for the record."`
	Token   string `env:"KRE_TOKEN" placeholder:"TOKEN" help:"Token that lets in. Default: asked for, or read from standard input, which leaves no trace in the shell's history."`
}

// Help is shown below the flags.
func (l *Login) Help() string {
	return `Examples:
  kre login kre.example:7081                          asks for the token
  kre login kre.example:7081 --name prod < token      reads it

The engine is asked whether it knows the token; then it is the one that all commands talk to. kre up does this by itself
for the engine of this machine.`
}

// Run asks the engine whether it lets in, and remembers it.
func (l *Login) Run(ctx context.Context, con *console.Console) error {
	address, host, err := parseAddress(l.Address)
	if err != nil {
		return err
	}
	name := l.Name
	if name == "" {
		name = host
	}
	token := strings.TrimSpace(l.Token)
	if token == "" {
		if token, err = con.AskSecret("Token for " + address + ": "); err != nil {
			return err
		}
	}
	if token == "" {
		return errors.New("no token was given: the engine's administrator has one (of kre up: secrets/admin.token in its data folder)")
	}
	// A newline would be refused by the transport with a sentence nobody understands.
	if strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("that is no token: it has blanks or other characters that no token has")
	}
	if err := check(ctx, name, cliconfig.Context{GRPC: address, Token: token}); err != nil {
		return err
	}
	config, err := cliconfig.Load()
	if err != nil {
		return err
	}
	fresh := cliconfig.Context{GRPC: address, Token: token}
	if before := config.Contexts[name]; before.GRPC == address {
		fresh.HTTP, fresh.Runtime = before.HTTP, before.Runtime
	}
	if l.HTTP != "" {
		fresh.HTTP = l.HTTP
	}
	config.Contexts[name] = fresh
	config.Current = name
	if err := config.Save(); err != nil {
		return err
	}
	if l.Structured() {
		return l.Value(con.Out, shown(config, name))
	}
	p := con.Printer()
	p.Line("%s logged in to %s; the context %s is the current one", p.Paint(look.Green, "✓"), address, name)
	return nil
}

// check makes a call that changes nothing.
func check(ctx context.Context, name string, c cliconfig.Context) error {
	e, err := remote.Dial(name, c)
	if err != nil {
		return err
	}
	defer e.Close()
	_, err = remote.Ask(ctx, e, "log in", e.Runtimes.ListRuntimes, &adminv1.ListRuntimesRequest{PageSize: 1})
	var failure *remote.Failure
	if errors.As(err, &failure) {
		switch status.Code(err) {
		case codes.Unauthenticated:
			failure.Advice = "The token is not the engine's; nothing was changed."
		case codes.Unavailable:
			failure.Advice = "Is it running there? This is about its gRPC port, not the one of its HTTP API."
		}
	}
	return err
}

// parseAddress is host:port, and the host.
func parseAddress(text string) (address, host string, err error) {
	wrong := fmt.Errorf("%q: want HOST or HOST:PORT of an engine's gRPC API", text)
	if text == "" || strings.Contains(text, "/") {
		return "", "", wrong
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), strconv.Itoa(defaultPort)
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", "", wrong
		}
	}
	if number, err := strconv.Atoi(port); err != nil || number < 1 || number > 65535 || host == "" {
		return "", "", wrong
	}
	return net.JoinHostPort(host, port), host, nil
}

package versions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/konstellation-io/kre/cli/internal/call"
	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Call is `kre version call`.
type Call struct {
	Named
	output.Format
	RPC     string        `arg:"" name:"rpc" help:"Rpc to call: Estimate or price.Price/Estimate."`
	Request string        `arg:"" optional:"" default:"{}" help:"Request as JSON, @FILE, or - for standard input."`
	Timeout time.Duration `placeholder:"DURATION" help:"How long to wait, e.g. 5s. Default: as long as the workflow allows."`
}

// Help is shown below the flags.
func (*Call) Help() string {
	return `Examples:
  kre version call prices-v2 Estimate '{"carat": 1}'
  kre version call prices-v2 price.Price/Estimate @request.json
  kre version call prices-v2 Estimate '{}' -o json | jq -r .requestId

The answer goes to standard output, the request's id to standard error: kre logs --request ID tells what happened to it.`
}

// Run calls an rpc through the engine.
func (c *Call) Run(ctx context.Context, con *console.Console) error {
	content, err := call.Request(c.Request, con.In)
	if err != nil {
		return err
	}
	request := new(structpb.Value)
	if err := protojson.Unmarshal(content, request); err != nil {
		return fmt.Errorf("the request is no JSON: %s", strings.ReplaceAll(err.Error(), "\u00a0", " "))
	}
	e, name, err := c.open()
	if err != nil {
		return err
	}
	defer e.Close()
	message := &adminv1.CallVersionRequest{Name: name, Rpc: c.RPC, Request: request}
	if c.Timeout != 0 {
		message.Timeout = durationpb.New(c.Timeout)
	}
	answer, err := e.Versions.CallVersion(ctx, message) // takes as long as its workflow allows
	if err != nil {
		return e.Explain("call "+c.RPC+" of "+remote.Last(name), err)
	}
	if c.Structured() {
		return c.Message(con.Out, answer)
	}
	text, err := protojson.Marshal(answer.GetResponse())
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	con.Printer().Line("%s", line.String())
	con.Tell("%s", answer.GetRequestId())
	return nil
}

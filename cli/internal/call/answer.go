package call

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/konstellation-io/kre/cli/internal/terminal"
)

// answer is what came back from a call that succeeded.
type answer struct {
	json      []byte // on one line, fit for a terminal
	requestID string
	timing    timing
}

// call sends JSON to a method.
func (s *served) call(ctx context.Context, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, request []byte) (*answer, error) {
	types := dynamicpb.NewTypes(s.files)
	input, output := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	if err := (protojson.UnmarshalOptions{Resolver: types}).Unmarshal(request, input); err != nil {
		return nil, fmt.Errorf("the request is no %s: %s\nIt may look like this: %s", method.Input().FullName(), plain(err), example(method.Input()))
	}
	var header, trailer metadata.MD
	if err := conn.Invoke(ctx, path(method), input, output, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, failure(err, requestID(header, trailer), types)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true, Resolver: types}.Marshal(output)
	if err != nil {
		return nil, fmt.Errorf("write the answer as JSON: %s", plain(err))
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, fmt.Errorf("write the answer as JSON: %w", err)
	}
	return &answer{
		json:      terminal.JSON(line.Bytes()),
		requestID: requestID(header, trailer),
		timing:    parseTiming(strings.Join(header.Get(timingKey), "")),
	}, nil
}

func requestID(header, trailer metadata.MD) string {
	for _, md := range []metadata.MD{header, trailer} {
		if ids := md.Get(requestIDKey); len(ids) > 0 {
			return ids[0]
		}
	}
	return ""
}

// plain returns the text of an error of protobuf's, which has a blank of either of two kinds after its prefix.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(text, "proto: ")
}

// lineWidth is how long an answer may be to stay on one line with what is told about it.
const lineWidth = 100

// write writes the answer to standard output and what is told about it to standard error: beside it on a terminal,
// below it elsewhere or where it is long.
func (a *answer) write(s streams) error {
	about := strings.TrimSpace(terminal.Clean(a.requestID + "  " + a.timing.String()))
	if !s.terminal {
		if _, err := fmt.Fprintf(s.out, "%s\n", a.json); err != nil || about == "" {
			return err
		}
		_, err := fmt.Fprintln(s.err, about)
		return err
	}
	text, between := a.json, "  "
	if len(text) > lineWidth {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err == nil {
			text, between = indented.Bytes(), "\n"
		}
	}
	if _, err := fmt.Fprintf(s.out, "%s%s", text, between); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.err, dim(about))
	return err
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// dim makes text on a terminal step back, unless colours are not wanted.
func dim(text string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}

package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Failure is a call that failed, for people: what was tried, why not, every field that is wrong, and what to do next.
type Failure struct {
	Tried    string
	Status   *status.Status
	Reason   adminv1.ErrorReason // UNSPECIFIED: the engine told none
	Metadata map[string]string
	Fields   []*errdetails.BadRequest_FieldViolation
	Advice   string
}

// GRPCStatus makes status.Code and the like work.
func (f *Failure) GRPCStatus() *status.Status { return f.Status }

// Error is a sentence, a line for each wrong field, and the advice.
func (f *Failure) Error() string {
	message := f.Status.Message()
	if f.Reason == adminv1.ErrorReason_ERROR_REASON_INVALID_MANIFEST && len(f.Fields) > 0 {
		message = "its manifest has " + look.Count(len(f.Fields), "complaint")
	}
	if f.Reason == adminv1.ErrorReason_ERROR_REASON_CALL_FAILED { // the version's own answer
		message = code.Code(f.Status.Code()).String() + ": " + message
	}
	first, rest, _ := strings.Cut(message, "\n")
	lines := []string{"cannot " + f.Tried + ": " + terminal.Clean(first)}
	for line := range strings.SplitSeq(rest, "\n") {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, "  "+terminal.Clean(line))
		}
	}
	for _, field := range f.Fields {
		if !strings.Contains(message, field.GetDescription()) { // of one wrong field the sentence tells already
			lines = append(lines, "  "+terminal.Clean(place(field)))
		}
	}
	if f.Advice != "" {
		lines = append(lines, f.Advice)
	}
	return strings.Join(lines, "\n")
}

// place is a field and what is wrong with it; a line of a manifest stands beside its path.
func place(field *errdetails.BadRequest_FieldViolation) string {
	if line, message, ok := strings.Cut(field.GetDescription(), ") "); ok && strings.HasPrefix(line, "(line ") {
		return field.GetField() + " " + line + "): " + message
	}
	return field.GetField() + ": " + field.GetDescription()
}

// Explain is the error of a call as a *Failure; nil stays nil, and that the caller itself gave up context.Canceled.
func (e *Engine) Explain(tried string, err error) error {
	if err == nil {
		return nil
	}
	var known *Failure
	if errors.As(err, &known) {
		return err
	}
	s := status.Convert(err)
	if s.Code() == codes.Canceled && !fromEngine(s) {
		return errors.Join(context.Canceled, fmt.Errorf("cannot %s: given up", tried))
	}
	f := &Failure{Tried: tried, Status: s}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			f.Reason = adminv1.ErrorReason(adminv1.ErrorReason_value[detail.GetReason()])
			f.Metadata = detail.GetMetadata()
		case *errdetails.BadRequest:
			f.Fields = append(f.Fields, detail.GetFieldViolations()...)
		}
	}
	f.Advice = e.advice(f)
	switch {
	case fromEngine(s):
	case s.Code() == codes.Unavailable:
		f.Status = status.Newf(s.Code(), "no engine answers at %s", e.GRPC)
	case s.Code() == codes.DeadlineExceeded:
		f.Status = status.New(s.Code(), "no answer came in time")
	}
	return f
}

// fromEngine tells whether an engine has answered, and not only the way to it.
func fromEngine(s *status.Status) bool { return len(s.Details()) > 0 }

// advice is what a person may do next; empty: the engine's own sentence says it.
func (e *Engine) advice(f *Failure) string {
	switch f.Reason {
	case adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED:
		return fmt.Sprintf("Its token in the context %s is not, or no longer, that of the engine: kre login %s --name %s", e.Name, e.GRPC, e.Name)
	case adminv1.ErrorReason_ERROR_REASON_RUNTIME_NOT_FOUND:
		return fmt.Sprintf("kre runtime list shows those there are; kre runtime create %s makes it.", f.Metadata["runtime"])
	case adminv1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND:
		return "kre version list shows those there are."
	case adminv1.ErrorReason_ERROR_REASON_CONFIG_MISSING:
		return fmt.Sprintf("Set them: kre version config set %s%s", f.Metadata["version"], assignments(f.Metadata["keys"]))
	case adminv1.ErrorReason_ERROR_REASON_UNAVAILABLE:
		return "kre status shows when it is back."
	case adminv1.ErrorReason_ERROR_REASON_VERSION_EXISTS:
		if f.Metadata["state"] == adminv1.Version_STOPPED.String() {
			return fmt.Sprintf("kre version delete %s removes the one that is there.", f.Metadata["version"])
		}
	case adminv1.ErrorReason_ERROR_REASON_UNSPECIFIED:
		if f.Status.Code() == codes.Unavailable {
			return Elsewhere
		}
	}
	return ""
}

// assignments are as many as keys are missing, for a command line.
func assignments(keys string) string {
	text := ""
	for key := range strings.SplitSeq(keys, ",") {
		text += " " + key + "=VALUE"
	}
	return text
}

package exchange

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"go.uber.org/zap/zapcore"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/admission"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/progress"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// Reasons in the google.rpc.ErrorInfo of what the entrypoint itself answers; its domain is wire.ErrorDomain.
const (
	ReasonTooManyRequests = "TOO_MANY_REQUESTS" // this instance has as many in flight as it may
	ReasonOverloaded      = "OVERLOADED"        // it could not have been answered in time
	ReasonTooLarge        = "REQUEST_TOO_LARGE"
	ReasonInvalid         = "REQUEST_INVALID" // it does not fit the rpc's input type
	ReasonUnknownRPC      = "UNKNOWN_RPC"
	ReasonQueueFull       = "QUEUE_FULL" // the workflow has as many requests waiting as it may
	ReasonNotStored       = "NOT_STORED" // the broker did not confirm the request in time, or refused it
	ReasonWaitOver        = "WAIT_OVER"  // stored, but not answered in time
	ReasonStarting        = "STARTING"
	ReasonStopping        = "STOPPING"
	ReasonWrongAnswer     = "WRONG_ANSWER" // what a node answered is not what the rpc promises
	ReasonBroken          = "BROKEN"       // a defect of the entrypoint
)

// Refusal is why a broker does not store a message.
type Refusal struct {
	Full bool // the stream has no room at present
	Away bool // the broker stores nothing at present
	Text string
}

// Invalid is the error of a request that does not fit the rpc's input type.
func (c *Call) Invalid(err error) error {
	return c.fail(codes.InvalidArgument, ReasonInvalid, "%s: %s", c.rpc.Name, err)
}

// OverLimit is the error of a request with more bytes than the entrypoint reads.
func (c *Call) OverLimit(limit int) error {
	return c.fail(codes.ResourceExhausted, ReasonTooLarge, "the request is larger than %d bytes, which is the limit", limit)
}

// Broken is the error of a call that a defect of the entrypoint ended.
func (c *Call) Broken() error {
	return c.fail(codes.Internal, ReasonBroken, "internal error; the entrypoint's log tells more about request %s", c.ID)
}

func (c *Call) tooLarge(size, limit int) error {
	return c.fail(codes.ResourceExhausted, ReasonTooLarge, "the request has %d bytes; the broker takes at most %d", size, limit)
}

func (c *Call) tooMany() error {
	return retryAfter(soon, c.fail(codes.ResourceExhausted, ReasonTooManyRequests,
		"%d requests are in flight, which is as many as may be; try again later", c.x.maxInFlight))
}

// overloaded says how many wait, and when to come back.
func (c *Call) overloaded(within time.Duration, refusal *admission.Refusal) error {
	retry := max(leastRetry, refusal.Retry)
	retry = retry*3/4 + rand.N(retry/2) // so that they do not all come back together
	return retryAfter(retry, c.fail(codes.ResourceExhausted, ReasonOverloaded,
		"workflow %s could not answer within %s: %d requests wait, the oldest for %s; try again in %s", c.rpc.Workflow,
		within.Round(time.Millisecond), refusal.Waiting, refusal.Oldest.Round(time.Millisecond), retry.Round(time.Millisecond)))
}

const (
	soon       = time.Second            // when to come back where nothing says when there will be room
	leastRetry = 100 * time.Millisecond // no sooner
)

// retryAfter adds to a status when to come back.
func retryAfter(delay time.Duration, err error) error {
	failed := status.Convert(err).Proto()
	if info, err := anypb.New(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}); err == nil { // it never fails
		failed.Details = append(failed.Details, info)
	}
	return status.ErrorProto(failed)
}

// RetryAfter is when an error says to come back, 0 when it does not.
func RetryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func (c *Call) notYet() error {
	return c.fail(codes.Unavailable, ReasonStarting, "this entrypoint is starting: it waits for the broker and the version's nodes")
}

func (c *Call) closed() error {
	return c.fail(codes.Unavailable, ReasonStopping, "the version is stopping and takes no new requests")
}

func (c *Call) stopping() error {
	return c.fail(codes.Unavailable, ReasonStopping, "this entrypoint is stopping and takes no new requests")
}

func (c *Call) sentAway() error {
	return c.fail(codes.Unavailable, ReasonStopping, "this entrypoint stops and cannot wait for the answer; the request goes on")
}

func (c *Call) notStored(refusal Refusal) error {
	if refusal.Full {
		return retryAfter(soon, c.fail(codes.ResourceExhausted, ReasonQueueFull,
			"workflow %s has as many requests waiting as it may; try again later", c.rpc.Workflow))
	}
	if refusal.Away {
		return c.fail(codes.Unavailable, ReasonNotStored, "the request cannot be stored: %s", refusal.Text)
	}
	return c.fail(codes.Internal, ReasonNotStored, "the broker refused the request: %s", refusal.Text)
}

// waitOver is the end of the wait for what is not known to be stored, or for its answer. Of the latter explain tells more.
func (c *Call) waitOver(end time.Time) error {
	if c.accepted.Load() != 0 || c.note.Load() != nil {
		return c.fail(codes.DeadlineExceeded, ReasonWaitOver, "no answer %s", c.waited())
	}
	code := codes.Unavailable
	if !end.IsZero() && !time.Now().Before(end) {
		code = codes.DeadlineExceeded
	}
	return c.fail(code, ReasonNotStored, "the broker did not confirm the request %s", c.waited())
}

func (c *Call) waited() string {
	return "within " + time.Since(c.begun).Round(time.Millisecond).String()
}

// explain tells where a request is whose wait is over, and what was last heard of it.
func (c *Call) explain(over error) error {
	told := status.Convert(over).Proto()
	story := c.flow.story(c)
	if text := story.String(); text != "" {
		told = status.Convert(c.failWith(codes.DeadlineExceeded, ReasonWaitOver, told.GetMessage()+"; "+text, map[string]string{
			"finished": progress.Names(story.Finished), "running": progress.Names(story.Running), "waiting": progress.Names(story.Waiting),
		})).Proto()
	}
	note := c.note.Load()
	switch {
	case note == nil:
	case note.Kind == wire.AttemptFailed:
		last, err := wire.ReadStatus(note.Body)
		if err != nil {
			last = &spb.Status{Message: note.Sender + ": unreadable error"}
		}
		told.Message += "; the last attempt failed: " + last.GetMessage()
		told.Details = append(told.Details, last.GetDetails()...)
	case story.String() == "":
		told.Message += fmt.Sprintf("; the last node that is known to have handled the request is %s, which sent nothing", note.Sender)
	}
	return status.ErrorProto(told)
}

// nodeFailed passes on the error that a node sent.
func (c *Call) nodeFailed(reply wire.Reply) error {
	failed, err := wire.ReadStatus(reply.Body)
	if err != nil {
		return c.wrongAnswer(reply, err.Error())
	}
	if failed.GetCode() <= int32(codes.OK) || failed.GetCode() > int32(codes.Unauthenticated) {
		failed.Code = int32(codes.Internal)
	}
	return status.ErrorProto(failed)
}

func (c *Call) wrongType(reply wire.Reply, got, want protoreflect.FullName) error {
	return c.wrongAnswer(reply, fmt.Sprintf("it is a %s, and the rpc answers with a %s", got, want))
}

func (c *Call) wrongAnswer(reply wire.Reply, why string) error {
	return c.fail(codes.Internal, ReasonWrongAnswer, "the answer of node %s to %s is wrong: %s", reply.Sender, c.rpc.Name, why)
}

func (c *Call) fail(code codes.Code, reason, format string, args ...any) error {
	return c.failWith(code, reason, fmt.Sprintf(format, args...), map[string]string{})
}

// failWith adds the request to metadata; what is empty there is left out.
func (c *Call) failWith(code codes.Code, reason, message string, metadata map[string]string) error {
	metadata["request_id"], metadata["workflow"] = c.ID, c.rpc.Workflow
	maps.DeleteFunc(metadata, func(_, value string) bool { return value == "" })
	return Failure(code, reason, message, metadata)
}

// Failure is a status with an ErrorInfo.
func Failure(code codes.Code, reason, message string, metadata map[string]string) error {
	failed := &spb.Status{Code: int32(code), Message: message}
	info, err := anypb.New(&errdetails.ErrorInfo{Reason: reason, Domain: wire.ErrorDomain, Metadata: metadata})
	if err == nil { // it fails on text that is not UTF-8 only; the message says enough then
		failed.Details = []*anypb.Any{info}
	}
	return status.ErrorProto(failed)
}

// Reason returns the reason of an error made by Failure or sent by a node, "" when it has none.
func Reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// level is how loud a call is logged: those that went well only for who asks, failures always. Of refusals, of which there may be
// thousands a second, told says which.
func level(code codes.Code, reason string, told bool) zapcore.Level {
	switch code {
	case codes.OK:
		return zapcore.DebugLevel
	case codes.ResourceExhausted:
		if refuses(reason) && !told {
			return zapcore.DebugLevel
		}
		return zapcore.WarnLevel
	case codes.Internal, codes.Unknown, codes.Unavailable, codes.DataLoss, codes.DeadlineExceeded:
		return zapcore.WarnLevel
	}
	return zapcore.InfoLevel
}

// refuses reports whether a reason is one for which a call was not let in that may be, a little later.
func refuses(reason string) bool {
	return reason == ReasonOverloaded || reason == ReasonTooManyRequests || reason == ReasonQueueFull
}

package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
)

// Reasons of errors, as kre.admin.v1.ErrorReason names them.
const (
	ReasonInvalidRequest   = "ERROR_REASON_INVALID_REQUEST"
	ReasonInvalidPageToken = "ERROR_REASON_INVALID_PAGE_TOKEN"
	ReasonInvalidFilter    = "ERROR_REASON_INVALID_FILTER"
	ReasonInvalidPackage   = "ERROR_REASON_INVALID_PACKAGE"
	ReasonInvalidManifest  = "ERROR_REASON_INVALID_MANIFEST"
	ReasonRuntimeNotFound  = "ERROR_REASON_RUNTIME_NOT_FOUND"
	ReasonVersionNotFound  = "ERROR_REASON_VERSION_NOT_FOUND"
	ReasonNoDocumentation  = "ERROR_REASON_NO_DOCUMENTATION"
	ReasonRuntimeExists    = "ERROR_REASON_RUNTIME_EXISTS"
	ReasonVersionExists    = "ERROR_REASON_VERSION_EXISTS"
	ReasonWrongState       = "ERROR_REASON_WRONG_STATE"
	ReasonConfigMissing    = "ERROR_REASON_CONFIG_MISSING"
	ReasonRuntimeDeleting  = "ERROR_REASON_RUNTIME_DELETING"
	ReasonConflict         = "ERROR_REASON_CONFLICT"
	ReasonUnavailable      = "ERROR_REASON_UNAVAILABLE"
	ReasonTooLarge         = "ERROR_REASON_TOO_LARGE"
	ReasonBusy             = "ERROR_REASON_BUSY"
	ReasonCallFailed       = "ERROR_REASON_CALL_FAILED"
)

// invalid is a request of which one field is wrong.
func invalid(field, format string, args ...any) *fault.Error {
	text := fmt.Sprintf(format, args...)
	err := fault.New(fault.Invalid, "%s: %s", field, text).For(ReasonInvalidRequest)
	err.Fields = []fault.Field{{Path: field, Message: text}}
	return err
}

func noRuntime(name string) *fault.Error {
	return fault.New(fault.NotFound, "there is no runtime %s", name).For(ReasonRuntimeNotFound, "runtime", name)
}

func noVersion(runtime, version string) *fault.Error {
	return fault.New(fault.NotFound, "runtime %s has no version %s", runtime, version).For(ReasonVersionNotFound, "runtime", runtime, "version", version)
}

func deleting(runtime string) *fault.Error {
	return fault.New(fault.Precondition, "runtime %s is being deleted; wait until it is gone", runtime).For(ReasonRuntimeDeleting, "runtime", runtime)
}

// wrongState is a transition that is not allowed now; what says what to do.
func wrongState(version string, state State, what string) *fault.Error {
	return fault.New(fault.Precondition, "version %s is %s: %s", version, state, what).For(ReasonWrongState, "version", version, "state", state.String())
}

func missing(version string, keys []string) *fault.Error {
	return fault.New(fault.Precondition, "version %s cannot be started until these configuration values are set: %s", version, strings.Join(keys, ", ")).
		For(ReasonConfigMissing, "version", version, "keys", strings.Join(keys, ","))
}

func conflict(revision int64) *fault.Error {
	return fault.New(fault.Conflict, "somebody has changed it meanwhile: it is at revision %d now; look at it again and decide anew", revision).
		For(ReasonConflict, "revision", strconv.FormatInt(revision, 10))
}

func exists(runtime string, there Version) *fault.Error {
	what := "give the package another version name"
	if there.State == StateCreating {
		what = "somebody is uploading it now"
	}
	return fault.New(fault.AlreadyExists, "runtime %s has a version %s already (%s): %s", runtime, there.Name, there.State, what).
		For(ReasonVersionExists, "runtime", runtime, "version", there.Name, "digest", there.Digest, "state", there.State.String(),
			"create_time", there.CreateTime.Format(time.RFC3339Nano))
}

func unavailable(service string, cause error) *fault.Error {
	return fault.Wrap(fault.Unavailable, cause, "%s does not answer now; try again in a moment", service).For(ReasonUnavailable, "service", service)
}

func tooLarge(limit int64, format string, args ...any) *fault.Error {
	return fault.New(fault.Exhausted, format, args...).For(ReasonTooLarge, "limit_bytes", strconv.FormatInt(limit, 10))
}

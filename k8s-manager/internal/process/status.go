package process

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
)

// tryInSilence is how long something that does not answer is only waited for; then it is an error.
const tryInSilence = 30 * time.Second

// status is what is observed of the runtime now.
func (rt *runtime) status(now time.Time) lifecycle.RuntimeStatus {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	s := lifecycle.RuntimeStatus{
		Name: rt.name, Revision: rt.record.Revision, PublishedVersion: rt.leads, ObserveTime: now,
	}
	s.Phase, s.Reason = rt.phase()
	if rt.record.GRPCPort != 0 {
		host := advertised(rt.c.o.PublicHost)
		s.GRPCAddress = ports.Address(host, rt.record.GRPCPort)
		s.HTTPAddress = "http://" + ports.Address(host, rt.record.HTTPPort)
	}
	if rt.api != nil {
		s.RuntimeAPIAddress = rt.record.apiAddress(rt.dir)
	}
	for _, v := range rt.versions {
		s.Versions = append(s.Versions, v.status())
	}
	slices.SortFunc(s.Versions, func(a, b lifecycle.VersionStatus) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// advertised is the host under which one calls who listens on a host: all interfaces are no place to call, and a container
// cannot know by what name it is reached.
func advertised(host string) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "localhost"
	}
	return host
}

// phase needs the lock.
func (rt *runtime) phase() (lifecycle.Phase, string) {
	if rt.record.Deleting {
		reason := ""
		if rt.problem != nil {
			reason = sentence(rt.problem)
		}
		return lifecycle.Deleting, reason
	}
	base := []struct {
		called string
		p      *part
	}{{"runtime-api", rt.api}, {"the process of the stable address", rt.address}}
	for _, one := range base {
		if one.p.failed() {
			return lifecycle.Error, one.called + " " + failure(one.p.record())
		}
	}
	if rt.problem != nil {
		if fault.KindOf(rt.problem) == fault.Unavailable {
			return lifecycle.Creating, sentence(rt.problem)
		}
		return lifecycle.Error, sentence(rt.problem)
	}
	for _, one := range base {
		if !one.p.ready() {
			return lifecycle.Creating, one.called + " is starting"
		}
	}
	return lifecycle.Ready, ""
}

// status needs the lock.
func (v *version) status() lifecycle.VersionStatus {
	s := lifecycle.VersionStatus{
		Name: v.name, Revision: v.record.Revision, Digest: v.record.Digest, StoredMessages: v.kept.Stored,
	}
	if !v.record.Running && v.kept.RanDigest != "" {
		s.Digest = v.kept.RanDigest
	}
	s.Phase, s.Reason = v.look()
	if v.entrypointReady() {
		at := v.address()
		s.GRPCAddress, s.HTTPAddress = at.GRPC, "http://"+at.HTTP
	}
	return s
}

func (v *version) lookPhase() lifecycle.Phase {
	phase, _ := v.look()
	return phase
}

// look computes the phase from what is; the caller has the lock.
func (v *version) look() (lifecycle.Phase, string) {
	if v.record.Deleting {
		return lifecycle.Stopped, "it is being deleted"
	}
	if !v.record.Running {
		return v.lookStopped()
	}
	if v.plan == nil || len(v.parts) == 0 {
		return v.lookPreparing()
	}
	var failed []string
	ready := true
	for _, one := range v.plan.processes() {
		p := v.parts[one.Process]
		if p.failed() {
			failed = append(failed, one.Process)
		}
		ready = ready && p.ready()
	}
	switch {
	case len(failed) > 0:
		return lifecycle.Error, v.blame(failed)
	case v.problem != nil:
		return v.lookTroubled()
	case v.rolling:
		return lifecycle.Starting, "its configuration has changed: one process after the other is started again"
	case !ready:
		return lifecycle.Starting, v.doing
	case v.kept.Closed:
		return lifecycle.Starting, "its entrypoint is about to take calls again"
	}
	return lifecycle.Started, ""
}

// lookStopped: a version has stopped once nothing of it runs and what it leaves behind is known.
func (v *version) lookStopped() (lifecycle.Phase, string) {
	if !v.runsSomething() && !v.unsettled(v.record) {
		return lifecycle.Stopped, ""
	}
	reason := v.doing
	if v.problem != nil {
		reason = sentence(v.problem)
	}
	return lifecycle.Stopping, reason
}

func (v *version) lookPreparing() (lifecycle.Phase, string) {
	if v.problem != nil {
		return v.lookTroubled()
	}
	return lifecycle.Starting, v.doing
}

// lookTroubled: something that does not answer is waited for a while, anything else is an error at once.
func (v *version) lookTroubled() (lifecycle.Phase, string) {
	if fault.KindOf(v.problem) == fault.Unavailable && time.Since(v.trying) < tryInSilence {
		return lifecycle.Starting, sentence(v.problem)
	}
	return lifecycle.Error, sentence(v.problem)
}

// blame says which processes failed, and why the first of them did.
func (v *version) blame(failed []string) string {
	// A node that fails takes others with it more often than the entrypoint does.
	slices.SortStableFunc(failed, func(a, b string) int {
		return int(boolNumber(a == entrypoint) - boolNumber(b == entrypoint))
	})
	var r proc.Record
	if p := v.parts[failed[0]]; p != nil {
		r = p.record()
	}
	text := v.plan.called(failed[0]) + " " + failure(r)
	if others := len(failed) - 1; others > 0 {
		text += fmt.Sprintf(" (and %d more)", others)
	}
	return text
}

func boolNumber(b bool) int8 {
	if b {
		return 1
	}
	return 0
}

// sentence is an error for people. Causes, which are somebody else's text, are for the log.
func sentence(err error) string {
	return strings.ReplaceAll(withoutCauses(err), "\n", "; ")
}

func withoutCauses(err error) string {
	switch one := err.(type) { //nolint:errorlint // it walks the chain itself
	case *fault.Error:
		return one.Message
	case interface{ Unwrap() []error }:
		var texts []string
		for _, each := range one.Unwrap() {
			texts = append(texts, withoutCauses(each))
		}
		return strings.Join(texts, "; ")
	}
	inner := errors.Unwrap(err)
	if inner == nil {
		return err.Error()
	}
	return strings.Replace(err.Error(), inner.Error(), withoutCauses(inner), 1)
}

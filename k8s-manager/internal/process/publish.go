package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

const (
	// ackWithin is how long the address may take to follow, and lookForAck how often that is looked for.
	ackWithin  = 5 * time.Second
	lookForAck = 5 * time.Millisecond
)

// publish makes the stable address lead where it should, and leads the connections of the version it led to before to
// their end. runtime.json tells how far that has come, so that it is finished whenever it is interrupted:
// the version that the address leads to, and those whose connections still have to be moved.
func (rt *runtime) publish(ctx context.Context) error {
	rt.mu.Lock()
	target := rt.target()
	var err error
	if target != rt.record.Leads {
		err = rt.updateLocked(func(r *runtimeRecord) error {
			if r.Leads != "" {
				r.Moving = append(r.Moving, r.Leads)
			}
			r.Leads = target
			r.Moving = slices.DeleteFunc(r.Moving, func(name string) bool { return name == target })
			slices.Sort(r.Moving)
			r.Moving = slices.Compact(r.Moving)
			return nil
		})
	}
	var where addressRecord
	if v := rt.versions[target]; v != nil {
		where = v.address()
	}
	rt.mu.Unlock()
	if err != nil {
		return err
	}
	if err := rt.lead(ctx, target, where); err != nil {
		return err
	}
	return rt.move(ctx)
}

// target is the version that the address should lead to now; the caller has the lock. It is the published one once that
// is ready, and stays it whatever becomes of it, as long as it should run.
func (rt *runtime) target() string {
	wanted, leads := rt.record.PublishedVersion, rt.record.Leads
	if wanted == "" {
		return ""
	}
	v := rt.versions[wanted]
	if v != nil && v.wanted() && (wanted == leads || v.started()) {
		return wanted
	}
	if before := rt.versions[leads]; before != nil && before.wanted() {
		return leads
	}
	return ""
}

// lead has the address lead somewhere, and returns when it does.
func (rt *runtime) lead(ctx context.Context, target string, where addressRecord) error {
	var written addressRecord
	err := readJSON(rt.path(addressFile), &written)
	if err != nil || written != where {
		if err := writeJSON(rt.path(addressFile), where); err != nil {
			return fmt.Errorf("lead the stable address: %w", err)
		}
	}
	giveUp := time.Now().Add(ackWithin)
	for {
		var ack addressRecord
		err := readJSON(rt.path(addressAckFile), &ack)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("see where the stable address leads: %w", err)
		}
		rt.mu.Lock()
		runs := rt.address != nil && rt.address.runs()
		rt.mu.Unlock()
		if err == nil && ack == where {
			break
		}
		if !runs && where == (addressRecord{}) {
			break // nobody listens, and who does next finds the file
		}
		if !runs || time.Now().After(giveUp) {
			return fault.New(fault.Unavailable, "the stable address does not follow")
		}
		if !sleep(ctx, lookForAck) {
			return ctx.Err()
		}
	}
	rt.mu.Lock()
	before := rt.leads
	rt.leads = target
	rt.mu.Unlock()
	if before != target {
		rt.log.Info("the stable address leads elsewhere", zap.String("version", target), zap.String("before", before))
		rt.c.tell(rt.name)
	}
	return nil
}

// acknowledged is the version that the address leads to, as far as files tell.
func (rt *runtime) acknowledged() string {
	v := rt.versions[rt.record.Leads]
	if v == nil {
		return ""
	}
	var ack addressRecord
	if readJSON(rt.path(addressAckFile), &ack) != nil || ack != v.address() {
		return ""
	}
	return v.name
}

// move leads the connections of versions that the address does not lead to any more to their end.
func (rt *runtime) move(ctx context.Context) error {
	for _, name := range rt.now().Moving {
		rt.mu.Lock()
		v := rt.versions[name]
		there := v != nil && v.entrypointReady()
		rt.mu.Unlock()
		if there { // else its connections have ended with it
			api, err := rt.runtimeAPI()
			if err != nil {
				return err
			}
			if _, _, err := api.Command(ctx, name, runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_MOVE); err != nil {
				return fmt.Errorf("move the connections of version %s: %w", name, err)
			}
		}
		err := rt.update(func(r *runtimeRecord) error {
			r.Moving = slices.DeleteFunc(r.Moving, func(one string) bool { return one == name })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

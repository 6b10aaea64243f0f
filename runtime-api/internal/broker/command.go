package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
)

const (
	// commandTimeout is how long entrypoints have to answer a command.
	commandTimeout = 2 * time.Second
	// maxReports is more entrypoints than a version has, and maxReportBytes more than they have to say.
	maxReports     = 1000
	maxReportBytes = 1 << 20
	// commandSilence is how long nobody else has answered when the answers are taken to be complete.
	commandSilence = 100 * time.Millisecond
)

// Command tells every entrypoint of a version to do something, and gathers what they say.
func (b *Broker) Command(ctx context.Context, version, command string) ([]assets.Report, error) {
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"command": command})
	if err != nil {
		return nil, fmt.Errorf("write the command: %w", err)
	}
	// Where they may answer to.
	inbox := plan.Inbox(version) + "._command." + nuid.Next()
	answers, err := b.conn.SubscribeSync(inbox)
	if err == nil {
		err = answers.SetPendingLimits(maxReports, maxReportBytes)
	}
	if err != nil {
		return nil, b.fault(err, "command the entrypoints")
	}
	defer answers.Unsubscribe() //nolint:errcheck // it only fails when the connection is closed
	if err := b.conn.PublishRequest(plan.Control(version), inbox, body); err != nil {
		return nil, b.fault(err, "command the entrypoints")
	}
	var reports []assets.Report
	deadline := time.Now().Add(commandTimeout)
	for wait := commandTimeout; ; wait = min(commandSilence, time.Until(deadline)) {
		within, cancel := context.WithTimeout(ctx, wait)
		answer, err := answers.NextMsgWithContext(within)
		cancel()
		switch {
		case errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return reports, nil
		case err != nil:
			return nil, b.fault(err, "hear of the entrypoints")
		}
		if len(answer.Data) == 0 && answer.Header.Get("Status") == "503" {
			return reports, nil // no entrypoint runs
		}
		var report assets.Report
		if err := json.Unmarshal(answer.Data, &report); err != nil {
			return nil, fmt.Errorf("read what an entrypoint says: %w", err)
		}
		if report.Error != "" {
			return nil, fmt.Errorf("an entrypoint refuses %s: %s", command, report.Error)
		}
		if reports = append(reports, report); len(reports) == maxReports {
			return reports, nil
		}
	}
}

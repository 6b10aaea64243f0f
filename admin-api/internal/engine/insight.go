package engine

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// ListNodes observes the entrypoint and the nodes of a version.
func (e *Engine) ListNodes(ctx context.Context, runtime, version string) ([]Node, error) {
	address, err := e.service(ctx, runtime, version)
	if err != nil {
		return nil, err
	}
	nodes, err := e.Runtimes.ListNodes(ctx, address, version)
	return nodes, serviceError(err)
}

// SearchLogs reads a page of what a version has logged.
func (e *Engine) SearchLogs(ctx context.Context, runtime string, query LogQuery) (LogPage, error) {
	if query.Size < 0 {
		return LogPage{}, invalid("page_size", "%d: want 0 (for 100) or more", query.Size)
	}
	if !query.Start.IsZero() && !query.End.IsZero() && !query.Start.Before(query.End) {
		return LogPage{}, invalid("end_time", "it is not after start_time")
	}
	list := []string{"logs", runtime, query.Version, query.Start.String(), query.End.String(), query.Workflow, query.Text, query.RequestID,
		strings.Join(query.Nodes, ","), time.Duration(query.MinLevel).String(), strconv.FormatBool(query.OldestFirst)}
	var err error
	if query.Token, err = e.thisPage(query.Token, list...); err != nil {
		return LogPage{}, err
	}
	address, err := e.service(ctx, runtime, query.Version)
	if err != nil {
		return LogPage{}, err
	}
	page, err := e.Runtimes.SearchLogs(ctx, address, query)
	if err != nil {
		return LogPage{}, serviceError(err)
	}
	if page.NextToken != "" {
		page.NextToken = e.nextPage(page.NextToken, list...)
	}
	return page, nil
}

// maxLast is how many lines a tail may begin with.
const maxLast = 1000

// TailLogs calls begun once the request has proved right, then line with each line that a version logs, until ctx ends or
// one of them answers an error, which is returned.
func (e *Engine) TailLogs(ctx context.Context, runtime string, query LogQuery, begun func() error, line func(LogEntry) error) error {
	if query.Last < 0 || query.Last > maxLast {
		return invalid("last", "%d: want 0 to %d", query.Last, maxLast)
	}
	address, err := e.service(ctx, runtime, query.Version)
	if err != nil {
		return err
	}
	if err := begun(); err != nil {
		return err
	}
	return serviceError(e.Runtimes.TailLogs(ctx, address, query, line))
}

// service is where the service of a version's runtime answers.
func (e *Engine) service(ctx context.Context, runtime, version string) (string, error) {
	if _, err := e.whole(ctx, runtime, version); err != nil {
		return "", err
	}
	return e.address(ctx, runtime)
}

// CallVersion calls an rpc of a running version, published or not, with JSON. A timeout of 0 is the workflow's.
func (e *Engine) CallVersion(ctx context.Context, runtime, version, rpc string, request []byte, timeout time.Duration) (Answer, error) {
	if rpc == "" {
		return Answer{}, invalid("rpc", "name the rpc: alone, or in full as package.Service/Rpc")
	}
	shown, err := e.GetVersion(ctx, runtime, version)
	if err != nil {
		return Answer{}, err
	}
	switch {
	case shown.State == StateUnknown:
		return Answer{}, unavailable("k8s-manager", nil)
	case shown.HTTPAddress == "":
		return Answer{}, wrongState(version, shown.State, "only a version that runs can be called; start it")
	}
	return e.Calls.Call(ctx, Call{GRPCAddress: shown.GRPCAddress, HTTPAddress: shown.HTTPAddress, RPC: rpc, Request: request, Timeout: timeout})
}

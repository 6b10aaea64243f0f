// Package runtimeclient is the runtime-api of every runtime as the engine sees it: kre.runtime.v1 over gRPC, one connection
// per address. It translates, and bounds how long an answer may take.
package runtimeclient

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

const (
	// callPatience is how long one call may take that is no stream. A search may have to read much.
	callPatience = 30 * time.Second
	// service is the name of what does not answer, in errors.
	service = "runtime-api"
)

// Client is the runtime-api of every runtime.
type Client struct {
	pool *pool
}

var _ engine.Runtimes = (*Client)(nil)

// Dial opens a connection to the runtime-api at an address.
type Dial func(address string) (*grpc.ClientConn, error)

// New returns a client that connects by dial. The caller closes it.
func New(dial Dial) *Client { return &Client{pool: newPool(dial)} }

// Close closes all connections.
func (c *Client) Close() error { return c.pool.close() }

// ListNodes observes the entrypoint and the nodes of a version now.
func (c *Client) ListNodes(ctx context.Context, address, version string) ([]engine.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	conn, release, err := c.pool.connection(address)
	if err != nil {
		return nil, err
	}
	defer release()
	answer, err := runtimev1.NewNodeServiceClient(conn).ListNodes(ctx, &runtimev1.ListNodesRequest{Version: version})
	if err != nil {
		return nil, told(err)
	}
	var nodes []engine.Node
	for _, node := range answer.GetNodes() {
		nodes = append(nodes, nodeOf(node))
	}
	return nodes, nil
}

// SearchLogs answers with a page of lines.
func (c *Client) SearchLogs(ctx context.Context, address string, query engine.LogQuery) (engine.LogPage, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	conn, release, err := c.pool.connection(address)
	if err != nil {
		return engine.LogPage{}, err
	}
	defer release()
	answer, err := runtimev1.NewLogServiceClient(conn).SearchLogs(ctx, &runtimev1.SearchLogsRequest{
		Filter: filterOf(query), PageSize: int32(query.Size), PageToken: query.Token, OldestFirst: query.OldestFirst,
	})
	if err != nil {
		return engine.LogPage{}, badToken(told(err))
	}
	page := engine.LogPage{NextToken: answer.GetNextPageToken()}
	for _, entry := range answer.GetEntries() {
		page.Entries = append(page.Entries, entryOf(entry))
	}
	return page, nil
}

// TailLogs calls line with each line that is stored.
func (c *Client) TailLogs(ctx context.Context, address string, query engine.LogQuery, line func(engine.LogEntry) error) error {
	conn, release, err := c.pool.connection(address)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := runtimev1.NewLogServiceClient(conn).TailLogs(ctx, &runtimev1.TailLogsRequest{
		Filter: filterOf(query), Last: int32(query.Last),
	})
	if err != nil {
		return told(err)
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return unavailable(err) // a tail has no end of its own
		}
		if err != nil {
			return told(err)
		}
		if err := line(entryOf(answer.GetEntry())); err != nil {
			return err
		}
	}
}

// ReadFile returns a file of a version's package.
func (c *Client) ReadFile(ctx context.Context, address, version, path string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	conn, release, err := c.pool.connection(address)
	if err != nil {
		return nil, err
	}
	defer release()
	stream, err := runtimev1.NewPackageServiceClient(conn).GetFile(ctx, &runtimev1.GetFileRequest{Version: version, Path: path})
	if err != nil {
		return nil, told(err)
	}
	var content []byte
	for {
		answer, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return content, nil
		case err != nil:
			return nil, told(err)
		case int64(len(content)+len(answer.GetChunk())) > limit:
			return nil, tooLarge(limit, "%s of version %s has more than %d bytes", path, version, limit)
		}
		content = append(content, answer.GetChunk()...)
	}
}

// DeletePackage removes the package of a version.
func (c *Client) DeletePackage(ctx context.Context, address, version string) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	conn, release, err := c.pool.connection(address)
	if err != nil {
		return err
	}
	defer release()
	_, err = runtimev1.NewPackageServiceClient(conn).DeletePackage(ctx, &runtimev1.DeletePackageRequest{Version: version})
	return told(err)
}

// ListPackages names the versions that have a package, by name.
func (c *Client) ListPackages(ctx context.Context, address string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	conn, release, err := c.pool.connection(address)
	if err != nil {
		return nil, err
	}
	defer release()
	answer, err := runtimev1.NewPackageServiceClient(conn).ListPackages(ctx, &runtimev1.ListPackagesRequest{})
	if err != nil {
		return nil, told(err)
	}
	return slices.Sorted(maps.Keys(answer.GetDigests())), nil
}

// told is the error of a call as the engine knows errors.
func told(err error) error {
	err = rpc.Fault(err)
	if err != nil && fault.KindOf(err) == fault.Unavailable {
		return unavailable(err)
	}
	return err
}

// badToken is the error of a search, of which only the page token can be wrong.
func badToken(err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.Invalid {
		f.Reason = engine.ReasonInvalidPageToken
	}
	return err
}

func unavailable(cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "the runtime's %s does not answer now; the same may be asked again in a moment", service).
		For(engine.ReasonUnavailable, "service", service)
}

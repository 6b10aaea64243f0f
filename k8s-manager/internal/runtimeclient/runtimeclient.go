// Package runtimeclient calls a runtime's own service, kre.runtime.v1 of runtime-api. It decides nothing.
package runtimeclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/krt/archive"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// How long calls may take. A package is only bounded by silence: see Fetch.
const (
	callWithin    = 10 * time.Second
	prepareWithin = time.Minute
	fetchSilence  = 30 * time.Second
)

// Client calls one runtime-api. Its errors are faults.
type Client struct {
	conn     *grpc.ClientConn
	versions runtimev1.VersionServiceClient
	packages runtimev1.PackageServiceClient
}

// Dial is a client of the runtime-api at addr (host:port). It connects when it is used.
func Dial(addr string, opts rpc.ClientOptions) (*Client, error) {
	conn, err := rpc.Dial(addr, opts)
	if err != nil {
		return nil, err
	}
	return &Client{
		conn: conn, versions: runtimev1.NewVersionServiceClient(conn), packages: runtimev1.NewPackageServiceClient(conn),
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Prepare makes what a version needs of the broker, lets in who has the keys, and answers with what its processes get.
func (c *Client) Prepare(ctx context.Context, request *runtimev1.PrepareVersionRequest) (*runtimev1.PrepareVersionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	answer, err := c.versions.PrepareVersion(ctx, request)
	return answer, rpc.Fault(err)
}

// Release says that nothing of a version runs.
func (c *Client) Release(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	_, err := c.versions.ReleaseVersion(ctx, &runtimev1.ReleaseVersionRequest{Version: version})
	return rpc.Fault(err)
}

// Remove removes what a version has at the broker.
func (c *Client) Remove(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	_, err := c.versions.RemoveVersion(ctx, &runtimev1.RemoveVersionRequest{Version: version})
	return rpc.Fault(err)
}

// Command tells the running entrypoints of a version what to do. instances answered, at which waiting callers wait.
func (c *Client) Command(ctx context.Context, version string, command runtimev1.EntrypointCommand) (instances, waiting int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	answer, err := c.versions.CommandEntrypoints(ctx, &runtimev1.CommandEntrypointsRequest{Version: version, Command: command})
	if err != nil {
		return 0, 0, rpc.Fault(err)
	}
	for _, report := range answer.GetEntrypoints() {
		instances++
		waiting += int(report.GetWaiting())
	}
	return instances, waiting, nil
}

// Count counts the messages of a version that are stored and not handled.
func (c *Client) Count(ctx context.Context, version string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	answer, err := c.versions.CountMessages(ctx, &runtimev1.CountMessagesRequest{Version: version})
	return answer.GetMessages(), rpc.Fault(err)
}

// Discard drops the messages that Count counts.
func (c *Client) Discard(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	_, err := c.versions.DiscardMessages(ctx, &runtimev1.DiscardMessagesRequest{Version: version})
	return rpc.Fault(err)
}

// Fetch hands each file of a version's package to next, as it comes; next reads content to its end. It takes as long as
// something comes.
func (c *Client) Fetch(ctx context.Context, version, digest string, next func(file archive.File, content io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(fetchSilence, cancel)
	defer silence.Stop()
	stream, err := c.packages.FetchPackage(ctx, &runtimev1.FetchPackageRequest{Version: version, Digest: digest})
	if err != nil {
		return rpc.Fault(err)
	}
	f := &fetch{stream: stream, heard: func() { silence.Reset(fetchSilence) }}
	for {
		file, err := f.nextFile()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := next(file, f); err != nil {
			return err
		}
	}
}

// fetch is a package that is being fetched, and the reader of the file that was begun.
type fetch struct {
	stream grpc.ServerStreamingClient[runtimev1.FetchPackageResponse]
	heard  func()
	rest   []byte                 // of the last chunk
	begun  *runtimev1.PackageFile // that follows; nil: nothing is known of it
	ended  bool
}

// nextFile skips what was not read of the file before. io.EOF: that was the last.
func (f *fetch) nextFile() (archive.File, error) {
	if _, err := io.Copy(io.Discard, f); err != nil {
		return archive.File{}, err
	}
	file := f.begun
	if file == nil {
		return archive.File{}, io.EOF
	}
	f.begun = nil
	return archive.File{
		Path: file.GetPath(), Executable: file.GetExecutable(), Size: file.GetSizeBytes(), SHA256: file.GetSha256(),
	}, nil
}

// Read reads the file that was begun last.
func (f *fetch) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.begun != nil || f.ended {
			return 0, io.EOF
		}
		message, err := f.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			f.ended = true
			continue
		case err != nil:
			return 0, rpc.Fault(err)
		}
		f.heard()
		switch content := message.GetContent().(type) {
		case *runtimev1.FetchPackageResponse_File:
			f.begun = content.File
		case *runtimev1.FetchPackageResponse_Chunk:
			f.rest = content.Chunk
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// RemovePackages removes every package of the runtime.
func (c *Client) RemovePackages(ctx context.Context) error {
	listing, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	packages, err := c.packages.ListPackages(listing, &runtimev1.ListPackagesRequest{})
	if err != nil {
		return rpc.Fault(err)
	}
	for version := range packages.GetDigests() {
		if err := c.removePackage(ctx, version); err != nil {
			return fmt.Errorf("version %s: %w", version, err)
		}
	}
	return nil
}

func (c *Client) removePackage(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	_, err := c.packages.DeletePackage(ctx, &runtimev1.DeletePackageRequest{Version: version})
	return rpc.Fault(err)
}

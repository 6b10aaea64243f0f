package runtimeclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

const (
	// chunkSize is how much of a package one message carries.
	chunkSize = 256 << 10
	// Reasons that runtime-api gives for refusing a package.
	reasonManifest = "MANIFEST"
	reasonPackage  = "PACKAGE"
)

type packageStream = grpc.BidiStreamingClient[runtimev1.UploadPackageRequest, runtimev1.UploadPackageResponse]

// UploadPackage stores the package that is read from content. When it is refused it returns at once: a Read of content
// that has begun by then may still go on until content ends or fails.
func (c *Client) UploadPackage(
	ctx context.Context, address string, content io.Reader, accept func(engine.Manifest) error,
) (engine.Package, error) {
	conn, release, err := c.pool.connection(address)
	if err != nil {
		return engine.Package{}, err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a stream that ends before its time leaves nothing behind
	stream, err := runtimev1.NewPackageServiceClient(conn).UploadPackage(ctx)
	if err != nil {
		return engine.Package{}, told(err)
	}
	sent := make(chan error, 1)
	go func() {
		err := send(stream, content)
		if err != nil {
			cancel()
		}
		sent <- err
	}()
	stored, err := receive(stream, accept)
	if err == nil {
		return stored, nil
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return engine.Package{}, refused.error
	}
	select {
	case sendErr := <-sent: // where the content broke off, what the stream says is only that it was cancelled
		if sendErr != nil {
			return engine.Package{}, sendErr
		}
	default:
	}
	return engine.Package{}, refusedPackage(err)
}

// send sends the content to its end. An error is one of content; one of the stream is told to who receives.
func send(stream packageStream, content io.Reader) error {
	buffer := make([]byte, chunkSize)
	for {
		n, err := io.ReadAtLeast(content, buffer, 1)
		if n > 0 {
			if stream.Send(&runtimev1.UploadPackageRequest{Chunk: buffer[:n]}) != nil {
				return nil //nolint:nilerr // see above
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = stream.CloseSend() // see above
			return nil
		case err != nil:
			return err
		}
	}
}

// refusal is an error of accept.
type refusal struct{ error }

// receive waits for what becomes of the package.
func receive(stream packageStream, accept func(engine.Manifest) error) (engine.Package, error) {
	for {
		answer, err := stream.Recv()
		if err != nil {
			return engine.Package{}, err
		}
		switch progress := answer.GetProgress().(type) {
		case *runtimev1.UploadPackageResponse_Manifest:
			if err := accept(manifestOf(progress.Manifest)); err != nil {
				return engine.Package{}, &refusal{err}
			}
		case *runtimev1.UploadPackageResponse_Package:
			return engine.Package{Digest: progress.Package.GetDigest(), Size: progress.Package.GetSizeBytes()}, nil
		}
	}
}

// refusedPackage is the error of an upload as the engine knows errors.
func refusedPackage(err error) error {
	if errors.Is(err, io.EOF) {
		return unavailable(err) // it ended without an answer
	}
	err = told(err)
	var f *fault.Error
	if errors.As(err, &f) {
		switch f.Reason {
		case reasonManifest:
			f.Reason = engine.ReasonInvalidManifest
		case reasonPackage:
			f.Reason = engine.ReasonInvalidPackage
		}
	}
	return err
}

func tooLarge(limit int64, format string, args ...any) error {
	return fault.New(fault.Exhausted, format, args...).For(engine.ReasonTooLarge, "limit_bytes", strconv.FormatInt(limit, 10))
}

func manifestOf(manifest *runtimev1.PackageManifest) engine.Manifest {
	m := engine.Manifest{
		Version: manifest.GetVersion(), DisplayName: manifest.GetDisplayName(), Description: manifest.GetDescription(),
		Variables: manifest.GetConfigVariables(), Files: manifest.GetConfigFiles(),
	}
	for _, workflow := range manifest.GetWorkflows() {
		w := engine.Workflow{Name: workflow.GetName(), RPC: workflow.GetRpc(), Exitpoint: workflow.GetExitpoint()}
		for _, node := range workflow.GetNodes() {
			w.Nodes = append(w.Nodes, engine.WorkflowNode{
				Name: node.GetName(), Source: node.GetSrc(), Subscriptions: node.GetSubscriptions(), Replicas: int(node.GetReplicas()),
			})
		}
		m.Workflows = append(m.Workflows, w)
	}
	for _, warning := range manifest.GetWarnings() {
		m.Warnings = append(m.Warnings, warningText(warning))
	}
	return m
}

// warningText is a warning as people read it: where, and what.
func warningText(problem *runtimev1.Problem) string {
	switch {
	case problem.GetField() == "":
		return problem.GetMessage()
	case problem.GetLine() == 0:
		return fmt.Sprintf("%s: %s", problem.GetField(), problem.GetMessage())
	}
	return fmt.Sprintf("%s (line %d): %s", problem.GetField(), problem.GetLine(), problem.GetMessage())
}

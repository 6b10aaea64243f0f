package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"

	"github.com/konstellation-io/kre/krt/archive"
)

// Where the version lives.
const (
	runtimeID    = "prices"
	runtimeName  = "runtimes/" + runtimeID
	settleWithin = 3 * time.Minute // starting installs Python packages where nothing is cached
)

// life takes a package to where callers reach it. Every step may have been taken by an earlier `make run`.
type life struct {
	*engine
	version string // its resource name
}

// runtime makes the runtime, unless it is there.
func (l *life) runtime(ctx context.Context) (*adminv1.Runtime, error) {
	_, err := l.runtimes.CreateRuntime(ctx, &adminv1.CreateRuntimeRequest{RuntimeId: runtimeID, Runtime: &adminv1.Runtime{Description: "What diamonds cost"}})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return nil, explained("cannot create a runtime", err)
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var runtime *adminv1.Runtime
	err = l.wait(ctx, "the runtime to be ready", func() (bool, error) {
		runtime, err = l.runtimes.GetRuntime(ctx, &adminv1.GetRuntimeRequest{Name: runtimeName})
		return err == nil && runtime.GetState() == adminv1.Runtime_READY, nil
	})
	return runtime, err
}

// upload stores the package as a version. One of the same name and content is taken as it is; one of another content,
// which an earlier `make run` left, is removed first.
func (l *life) upload(ctx context.Context, file, name string) error {
	l.version = runtimeName + "/versions/" + name
	there, err := l.versions.GetVersion(ctx, &adminv1.GetVersionRequest{Name: l.version})
	switch {
	case status.Code(err) == codes.NotFound:
	case err != nil:
		return explained("cannot look for the version", err)
	default:
		digest, err := digestOf(file)
		if err != nil {
			return err
		}
		if there.GetDigest() == digest {
			return nil
		}
		if err := l.remove(ctx); err != nil {
			return err
		}
	}
	return l.send(ctx, file)
}

func (l *life) send(ctx context.Context, file string) (err error) {
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	stream, err := l.versions.UploadVersion(ctx)
	if err != nil {
		return explained("cannot upload", err)
	}
	request := &adminv1.UploadVersionRequest{Parent: runtimeName, Comment: "make run"}
	chunk := make([]byte, 256<<10)
	for {
		n, err := content.Read(chunk)
		request.Chunk = chunk[:n]
		if n > 0 && stream.Send(request) != nil {
			break // the answer tells why
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		request = &adminv1.UploadVersionRequest{}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		return explained("cannot upload", err)
	}
	return nil
}

// remove takes a version down and deletes it.
func (l *life) remove(ctx context.Context) error {
	if _, err := l.versions.UnpublishVersion(ctx, &adminv1.UnpublishVersionRequest{Name: l.version}); err != nil {
		return explained("cannot unpublish the earlier version", err)
	}
	if _, err := l.versions.StopVersion(ctx, &adminv1.StopVersionRequest{Name: l.version, Discard: true}); err != nil {
		return explained("cannot stop the earlier version", err)
	}
	if err := l.until(ctx, adminv1.Version_STOPPED); err != nil {
		return err
	}
	if _, err := l.versions.DeleteVersion(ctx, &adminv1.DeleteVersionRequest{Name: l.version}); err != nil {
		return explained("cannot delete the earlier version", err)
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	return l.wait(ctx, "the earlier version to be gone", func() (bool, error) {
		_, err := l.versions.GetVersion(ctx, &adminv1.GetVersionRequest{Name: l.version})
		return status.Code(err) == codes.NotFound, nil
	})
}

// configure gives the version the values of a .env file.
func (l *life) configure(ctx context.Context, envFile string) error {
	content, err := os.ReadFile(envFile)
	if err != nil {
		return err
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			values[key] = value
		}
	}
	_, err = l.versions.UpdateConfig(ctx, &adminv1.UpdateConfigRequest{Name: l.version + "/config", Variables: values})
	return explained("cannot configure", err)
}

// publish starts and publishes the version, and returns its nodes.
func (l *life) publish(ctx context.Context) ([]string, error) {
	if _, err := l.versions.StartVersion(ctx, &adminv1.StartVersionRequest{Name: l.version}); err != nil {
		return nil, explained("cannot start", err)
	}
	if err := l.until(ctx, adminv1.Version_STARTED, adminv1.Version_PUBLISHED); err != nil {
		return nil, err
	}
	if _, err := l.versions.PublishVersion(ctx, &adminv1.PublishVersionRequest{Name: l.version}); err != nil {
		return nil, explained("cannot publish", err)
	}
	if err := l.until(ctx, adminv1.Version_PUBLISHED); err != nil {
		return nil, err
	}
	list, err := l.versions.ListNodes(ctx, &adminv1.ListNodesRequest{Parent: l.version})
	if err != nil {
		return nil, explained("cannot list the nodes", err)
	}
	var nodes []string
	for _, node := range list.GetNodes() {
		if node.GetWorkflow() != "" {
			nodes = append(nodes, node.GetName())
		}
	}
	return nodes, nil
}

// until waits until the version is in one of the states; an error that does not heal within the time is told.
func (l *life) until(ctx context.Context, states ...adminv1.Version_State) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var seen *adminv1.Version
	err := l.wait(ctx, "the version", func() (bool, error) {
		var err error
		seen, err = l.versions.GetVersion(ctx, &adminv1.GetVersionRequest{Name: l.version})
		return err == nil && slices.Contains(states, seen.GetState()), nil
	})
	if err != nil {
		return fmt.Errorf("%w: it is %s %s", err, seen.GetState(), seen.GetStateReason())
	}
	return nil
}

// explained is the text of a call's error after what was tried; nil where there is none.
func explained(tried string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s", tried, status.Convert(err).Message())
}

// digestOf is the identity of a package.
func digestOf(file string) (_ string, err error) {
	content, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	reader, err := archive.NewReader(content, archive.Limits{})
	if err != nil {
		return "", err
	}
	for {
		if _, err = reader.Next(); errors.Is(err, io.EOF) {
			return reader.Package().Digest, nil
		}
		if err != nil {
			return "", err
		}
	}
}
